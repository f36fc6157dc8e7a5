-- Dead jobs are counted, and purged by their age, among however many live ones.
CREATE INDEX saas_jobs_dead ON saas_jobs (kind, created_at) WHERE state = 'dead';
