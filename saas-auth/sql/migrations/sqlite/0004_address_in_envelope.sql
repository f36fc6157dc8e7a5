-- What ip_masked held, encrypted for its row. The old column stays for releases that still write it; `saas secrets reencrypt` empties it.
ALTER TABLE saas_sessions ADD COLUMN address_envelope blob;
