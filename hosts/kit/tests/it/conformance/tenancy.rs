//! Tenancy's ports. What memberships answer to auth is a port of core's.

mod membership_store;
mod tenant_store;
