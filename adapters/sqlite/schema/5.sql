-- Keys of the limiter.
CREATE TABLE buckets (
  ns     INTEGER NOT NULL,
  key    TEXT NOT NULL,
  full   INTEGER NOT NULL, -- when the bucket is full again
  last   INTEGER NOT NULL, -- latest time that somebody was told to ask again
  forget INTEGER NOT NULL,
  PRIMARY KEY (ns, key)
) WITHOUT ROWID;
CREATE INDEX buckets_forget ON buckets (ns, forget);
