CREATE TABLE namespaces (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL DEFAULT 0, -- highest record version given out
  epoch   INTEGER NOT NULL DEFAULT 0  -- highest epoch of a task that ended
);
CREATE TABLE queues (
  id   INTEGER PRIMARY KEY,
  ns   INTEGER NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (ns, name)
);
-- A row is a live task. Its seq is its place in the queue and is never reused. Times are microseconds.
CREATE TABLE tasks (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  ns           INTEGER NOT NULL,
  id           TEXT NOT NULL,
  queue        INTEGER NOT NULL,
  state        INTEGER NOT NULL, -- 0 ready, 1 delayed until due, 2 leased until until
  priority     INTEGER NOT NULL,
  due          INTEGER NOT NULL,
  epoch        INTEGER NOT NULL,
  owner        TEXT,             -- of the last claim, also of one that expired and that nobody took over
  until        INTEGER NOT NULL,
  redeliveries INTEGER NOT NULL,
  acked        INTEGER NOT NULL,
  replays      INTEGER NOT NULL,
  attempt      INTEGER NOT NULL, -- repeats what extra says, for looking
  created      INTEGER NOT NULL,
  updated      INTEGER NOT NULL,
  lease        INTEGER NOT NULL,
  generated    INTEGER NOT NULL,
  name         TEXT NOT NULL,
  header       BLOB,
  body         BLOB,
  signature    BLOB,
  key_id       TEXT,
  extra        BLOB
);
CREATE UNIQUE INDEX tasks_id ON tasks (ns, id);
CREATE INDEX tasks_ready ON tasks (queue, priority DESC, seq) WHERE state = 0;
CREATE INDEX tasks_due ON tasks (queue, due) WHERE state = 1;
CREATE INDEX tasks_leased ON tasks (queue, until) WHERE state = 2;
CREATE TABLE results (
  seq     INTEGER PRIMARY KEY,
  ns      INTEGER NOT NULL,
  id      TEXT NOT NULL,
  epoch   INTEGER NOT NULL,
  state   TEXT NOT NULL,
  queue   TEXT NOT NULL,
  name    TEXT NOT NULL,
  updated INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  status  BLOB NOT NULL
);
CREATE UNIQUE INDEX results_id ON results (ns, id);
CREATE INDEX results_updated ON results (ns, updated);
CREATE INDEX results_expires ON results (expires);
CREATE TABLE dead (
  seq       INTEGER PRIMARY KEY AUTOINCREMENT,
  ns        INTEGER NOT NULL,
  id        TEXT NOT NULL,
  queue     TEXT NOT NULL,
  name      TEXT NOT NULL,
  priority  INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,
  redeliveries INTEGER NOT NULL,
  replays   INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  lease     INTEGER NOT NULL,
  generated INTEGER NOT NULL,
  header    BLOB,
  body      BLOB,
  signature BLOB,
  key_id    TEXT,
  extra     BLOB,
  reason    TEXT NOT NULL,
  error     BLOB,
  dead_at   INTEGER NOT NULL
);
CREATE UNIQUE INDEX dead_id ON dead (ns, id);
CREATE INDEX dead_at ON dead (ns, dead_at);
-- Chosen ids that ended, remembered for a while.
CREATE TABLE seen (
  ns    INTEGER NOT NULL,
  id    TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (ns, id)
) WITHOUT ROWID;
CREATE INDEX seen_until ON seen (until);
CREATE TABLE records (
  ns      INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  part    TEXT NOT NULL,
  id      TEXT NOT NULL,
  version INTEGER NOT NULL,
  due     INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  tags    TEXT NOT NULL, -- JSON array
  body    BLOB,
  PRIMARY KEY (ns, kind, part, id)
);
CREATE INDEX records_version ON records (ns, kind, version);
CREATE INDEX records_due ON records (ns, kind, due, version) WHERE due > 0;
CREATE INDEX records_expires ON records (expires) WHERE expires > 0;
-- Hints between processes; short-lived.
CREATE TABLE hints (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  ns      INTEGER NOT NULL,
  topic   TEXT NOT NULL,
  payload BLOB,
  at      INTEGER NOT NULL
);
