-- Unique keys: what a task asked for, and who holds which key until when.
ALTER TABLE tasks ADD COLUMN unique_key TEXT;
ALTER TABLE tasks ADD COLUMN unique_for INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead ADD COLUMN unique_key TEXT;
ALTER TABLE dead ADD COLUMN unique_for INTEGER NOT NULL DEFAULT 0;
CREATE TABLE uniques (
  ns    INTEGER NOT NULL,
  key   TEXT NOT NULL,
  id    TEXT NOT NULL, -- task that holds it
  until INTEGER NOT NULL,
  PRIMARY KEY (ns, key)
) WITHOUT ROWID;
CREATE INDEX uniques_id ON uniques (ns, id);
CREATE INDEX uniques_until ON uniques (until);
-- Groups and the ends they have counted.
CREATE TABLE groups (
  seq       INTEGER PRIMARY KEY,
  ns        INTEGER NOT NULL,
  id        TEXT NOT NULL,
  state     TEXT NOT NULL,
  members   INTEGER NOT NULL,
  ended     INTEGER NOT NULL,
  succeeded INTEGER NOT NULL,
  ttl       INTEGER NOT NULL,
  expires   INTEGER NOT NULL,
  callback  BLOB,
  meta      TEXT NOT NULL -- JSON object
);
CREATE UNIQUE INDEX groups_id ON groups (ns, id);
CREATE INDEX groups_expires ON groups (expires);
CREATE TABLE members (
  grp   INTEGER NOT NULL,
  task  TEXT NOT NULL,
  place INTEGER NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT '', -- empty: has not ended
  PRIMARY KEY (grp, task)
) WITHOUT ROWID;
