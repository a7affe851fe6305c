# Sidekiq's side of its cases. `sidekiq -r` loads it as the worker, which prints what it did when it ends; `ruby` runs it as the
# producer: how many jobs, the bytes of each, and the seconds from one to the next.
require "json"
require "sidekiq"

Sidekiq.logger.level = Logger::WARN # else every job writes two lines; stdout is for what the worker did
Redis.silence_deprecations = true if Redis.respond_to?(:silence_deprecations=) # Debian's two gems warn at every command

class Noop
  include Sidekiq::Job
  sidekiq_options queue: "chaos", retry: false
  RAN = [] # when each job was enqueued and when it began

  def self.clock = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)

  def perform(enqueued, _pad) = RAN << [enqueued, Noop.clock]
end

if Sidekiq.server?
  at_exit do
    first, last = Noop::RAN.map(&:last).minmax
    waits = Noop::RAN.map { |enqueued, began| (began - enqueued) / 1e3 }
    puts JSON.generate(version: Sidekiq::VERSION, seconds: (last.to_i - first.to_i) / 1e6, waits: waits)
  end
else
  n, size, gap = Integer(ARGV[0]), Integer(ARGV[1]), Float(ARGV[2])
  pad = "x" * size
  Sidekiq.redis(&:ping) # connected before the first job, as Stem's producer is
  due = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  n.times do
    Noop.perform_async(Noop.clock, pad)
    due += gap
    ahead = due - Process.clock_gettime(Process::CLOCK_MONOTONIC)
    sleep(ahead) if ahead > 0
  end
end
