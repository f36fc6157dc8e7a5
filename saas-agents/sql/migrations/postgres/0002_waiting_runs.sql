-- What every process looks for once a second: runs whose turn it may be, oldest first.
CREATE INDEX saas_runs_waiting ON saas_runs (id) WHERE status = 'queued';
