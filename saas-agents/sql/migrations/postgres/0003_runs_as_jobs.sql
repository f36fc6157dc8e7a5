-- Who works on a run is whoever holds its job (saas_jobs): runs have no leases of their own any more. What an earlier release left running or
-- waiting has no job yet; the workers find that out.
DROP INDEX saas_runs_lease;
DROP INDEX saas_runs_owner;
DROP INDEX saas_runs_waiting;
ALTER TABLE saas_runs DROP COLUMN leased_until;
ALTER TABLE saas_runs DROP COLUMN owner;
-- What is looked for once a minute: runs that should have a job.
CREATE INDEX saas_runs_under_way ON saas_runs (id) WHERE status IN ('queued', 'running');
