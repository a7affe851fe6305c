-- A dead letter remembers that its task was acknowledged before it ran.
ALTER TABLE dead ADD COLUMN acked INTEGER NOT NULL DEFAULT 0;
