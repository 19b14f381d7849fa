-- What each process may do with each table; run by the owner after every migration.
-- The lines of deploy/DESIGN.md section 5, drawn once more where code cannot cross them.

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM icr_web, icr_sealer, icr_engine, icr_notifier,
    icr_janitor;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM icr_web, icr_sealer, icr_engine, icr_notifier,
    icr_janitor;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO icr_web, icr_sealer, icr_engine, icr_notifier,
    icr_janitor;

-- Row-level security shows each transaction one tenant (accounts/tenancy.py). Who works for all of
-- them in turn may read their list; web may not.
DROP POLICY IF EXISTS list ON accounts_tenant;
CREATE POLICY list ON accounts_tenant FOR SELECT
    TO icr_sealer, icr_engine, icr_notifier, icr_janitor USING (true);

-- web: takes batches, warrants and requests; sees no sealed row, and of epochs only which hours of
-- which shard have one and who has logged it, which oversight is told.
GRANT SELECT ON accounts_tenant, accounts_authority, accounts_oversightbody, accounts_collector
    TO icr_web;
GRANT INSERT ON accounts_collector TO icr_web;
GRANT SELECT ON accounts_enrolment TO icr_web;
GRANT UPDATE (used_at) ON accounts_enrolment TO icr_web;
GRANT SELECT, INSERT, UPDATE ON accounts_principal TO icr_web;
GRANT SELECT ON accounts_revocation TO icr_web;
GRANT SELECT, INSERT, DELETE ON accounts_nonce TO icr_web;
GRANT SELECT ON inbox_intakekey TO icr_web;
GRANT SELECT, INSERT ON inbox_batch TO icr_web;
GRANT UPDATE (urgent) ON inbox_batch TO icr_web;
GRANT SELECT, INSERT ON query_lodgedwarrant, query_query TO icr_web;
GRANT SELECT (id, tenant_id, hour, shard) ON vault_epoch TO icr_web;
GRANT SELECT (id, epoch_id, role, acknowledged_at) ON vault_epochseal TO icr_web;
GRANT SELECT ON ledger_log, ledger_checkpoint, ledger_fork, ledger_leaf, ledger_node TO icr_web;
GRANT USAGE ON SEQUENCE accounts_collector_id_seq, accounts_principal_id_seq,
    accounts_nonce_id_seq, inbox_batch_id_seq, query_lodgedwarrant_id_seq, query_query_id_seq
    TO icr_web;
-- Of subscribers it sees whether there is one; what they read is locked under their own account.
GRANT SELECT (id, tenant_id, lookup, since, closed_at) ON notices_subscriber TO icr_web;
GRANT SELECT ON notices_notice, notices_noticeleaf, notices_pull TO icr_web;
GRANT SELECT, INSERT ON notices_signin TO icr_web;
GRANT UPDATE (tries, is_used) ON notices_signin TO icr_web;
GRANT SELECT, INSERT, DELETE ON notices_session TO icr_web;
GRANT USAGE ON SEQUENCE notices_signin_id_seq, notices_session_id_seq TO icr_web;

-- sealer: writes rows and cannot read them back.
GRANT SELECT ON accounts_tenant, accounts_collector TO icr_sealer;
GRANT SELECT, INSERT ON inbox_intakekey TO icr_sealer;
GRANT SELECT ON inbox_batch TO icr_sealer;
GRANT UPDATE (state, claim, tries, records, rejected, gaps, sealing, sealed_receipt, body)
    ON inbox_batch TO icr_sealer;
GRANT SELECT, INSERT ON vault_epoch, vault_epoch_batches TO icr_sealer;
GRANT SELECT, INSERT ON vault_epochseal TO icr_sealer;
GRANT UPDATE (acknowledged_at, refused) ON vault_epochseal TO icr_sealer;
GRANT INSERT ON vault_segment, vault_bucket TO icr_sealer;
GRANT EXECUTE ON FUNCTION vault_make_month(integer) TO icr_sealer;
GRANT USAGE ON SEQUENCE vault_epoch_id_seq, vault_epochseal_id_seq, vault_epoch_batches_id_seq
    TO icr_sealer;

-- It brings policies and revocations to the keepers, and notes what they said.
GRANT SELECT ON accounts_policy, accounts_revocation TO icr_sealer;
GRANT UPDATE (keepers) ON accounts_policy, accounts_revocation TO icr_sealer;

-- engine: reads rows, and writes nothing but how a query ended. Of batches it sees the outside.
GRANT SELECT ON accounts_tenant, accounts_policy, vault_epoch, vault_segment, vault_bucket
    TO icr_engine;
-- For the audit, which runs as it: what each keeper said of an epoch.
GRANT SELECT (id, epoch_id, role, instance, acknowledged_at, refused) ON vault_epochseal TO icr_engine;
GRANT SELECT (id, tenant_id, collector_id, batch_id, stream, sequence, shard, first_hour, last_hour,
    accepted_at, receipt, state, urgent, gaps, sealed_receipt) ON inbox_batch TO icr_engine;
GRANT SELECT (id, tenant_id, name) ON accounts_collector TO icr_engine;
GRANT SELECT ON query_lodgedwarrant, query_query TO icr_engine;
GRANT UPDATE (state, claim, ended_at, keepers, share_key, waiting, disclosure) ON query_query
    TO icr_engine;

-- notifier: reads whom to tell, keeps what is owed. It sees no row, no batch and no query.
GRANT SELECT ON accounts_tenant, notices_subscriber TO icr_notifier;
GRANT SELECT, INSERT ON notices_notice TO icr_notifier;
GRANT UPDATE (newest_leaf_at, delivered_at, attempts, next_attempt_at, why, claim)
    ON notices_notice TO icr_notifier;
GRANT SELECT, INSERT, UPDATE, DELETE ON notices_noticeleaf TO icr_notifier;
GRANT SELECT, INSERT, UPDATE ON notices_pull TO icr_notifier;
GRANT SELECT, DELETE ON notices_oldcontact, notices_signin, notices_session TO icr_notifier;
GRANT UPDATE (is_sent, attempts, next_attempt_at, claim) ON notices_signin TO icr_notifier;
GRANT UPDATE (attempts, next_attempt_at, claim) ON notices_oldcontact TO icr_notifier;
GRANT USAGE ON SEQUENCE notices_notice_id_seq, notices_noticeleaf_id_seq, notices_pull_id_seq
    TO icr_notifier;
-- It copies the keepers' logs, and can change or take away nothing of what was copied.
GRANT SELECT, INSERT ON ledger_log, ledger_checkpoint, ledger_fork, ledger_leaf, ledger_node
    TO icr_notifier;
GRANT USAGE ON SEQUENCE ledger_log_id_seq, ledger_checkpoint_id_seq, ledger_fork_id_seq
    TO icr_notifier;

-- janitor: keeps the certificates, and deletes by functions that decide for themselves.
GRANT SELECT ON accounts_tenant TO icr_janitor;
GRANT SELECT, INSERT ON retention_certificate TO icr_janitor;
GRANT USAGE ON SEQUENCE retention_certificate_id_seq TO icr_janitor;
GRANT EXECUTE ON FUNCTION retention_forget(text), retention_drop_month(integer), retention_sweep()
    TO icr_janitor;
