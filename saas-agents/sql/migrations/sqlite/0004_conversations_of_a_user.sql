-- All that a user has in a tenant, in an order that nothing changes: for who removes or writes out all of it.
CREATE INDEX saas_conversations_of_user ON saas_conversations (tenant_id, user_id, id);
