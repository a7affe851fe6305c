-- What is past its time is found within a namespace, whatever others have left there.
DROP INDEX results_expires;
CREATE INDEX results_expires ON results (ns, expires);
DROP INDEX seen_until;
CREATE INDEX seen_until ON seen (ns, until);
DROP INDEX records_expires;
CREATE INDEX records_expires ON records (ns, expires) WHERE expires > 0;
DROP INDEX uniques_until;
CREATE INDEX uniques_until ON uniques (ns, until);
DROP INDEX groups_expires;
CREATE INDEX groups_expires ON groups (ns, expires);
-- The few ready tasks whose lease ended and that nobody took over.
CREATE INDEX tasks_left ON tasks (owner) WHERE state = 0 AND owner IS NOT NULL;
