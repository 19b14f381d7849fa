"""Row-level security, and the only ways in which the janitor deletes.

Each function runs as its owner and decides by itself: by the certificates that are held, and by
PostgreSQL's clock. What a captured janitor can have deleted has expired by that clock.
"""

from django.db import migrations

ROW_SECURITY = """
ALTER TABLE retention_certificate ENABLE ROW LEVEL SECURITY;
ALTER TABLE retention_certificate FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON retention_certificate
    USING (tenant_id = current_setting('icr.tenant', true));
"""

# From 00:00Z of day D + 365 on day D has expired.
IS_EXPIRED = """
CREATE FUNCTION retention_is_expired(day date) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT day + 365 <= (now() AT TIME ZONE 'UTC')::date
$$;
"""

# What is dated on days up to the last that both roles have certified; how many epochs went. The
# certificates stay, and the notices: the keepers' logs hold those debts for good.
FORGET = """
CREATE FUNCTION retention_forget(tenant text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    over timestamptz;
    gone bigint;
BEGIN
    -- An answer waits 30 days for its investigator.
    UPDATE query_query SET disclosure = NULL WHERE tenant_id = tenant
        AND disclosure IS NOT NULL AND ended_at < now() - interval '30 days';
    SELECT (max(day) + 1)::timestamp AT TIME ZONE 'UTC' INTO over FROM (
        SELECT day FROM retention_certificate
        WHERE tenant_id = tenant AND retention_is_expired(day)
        GROUP BY day HAVING count(DISTINCT role) = 2) AS certified;
    IF over IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM vault_epochseal USING vault_epoch AS e
        WHERE epoch_id = e.id AND e.tenant_id = tenant AND e.hour < over;
    DELETE FROM vault_epoch_batches USING vault_epoch AS e
        WHERE epoch_id = e.id AND e.tenant_id = tenant AND e.hour < over;
    DELETE FROM vault_epoch WHERE tenant_id = tenant AND hour < over;
    GET DIAGNOSTICS gone = ROW_COUNT;
    -- A body that was never sealed has expired all the same. Locked in the order in which sealers
    -- claim, so that neither waits for the other.
    PERFORM 1 FROM inbox_batch
        WHERE tenant_id = tenant AND last_hour < over AND body IS NOT NULL
        ORDER BY id FOR UPDATE;
    UPDATE inbox_batch SET body = NULL
        WHERE tenant_id = tenant AND last_hour < over AND body IS NOT NULL;
    -- A batch's row goes once it came before as well, or it would be a gap among those that came
    -- with it; and once a later one of its stream is to go: by the last one's receipts the next is
    -- known to follow. The last number that went is kept, so that nobody takes it for a gap.
    WITH expired AS (
        SELECT collector_id, stream, max(sequence) AS last FROM inbox_batch
        WHERE tenant_id = tenant AND greatest(last_hour, accepted_at) < over GROUP BY 1, 2
    ), went AS (
        DELETE FROM inbox_batch AS b USING expired AS e
        WHERE b.tenant_id = tenant AND greatest(b.last_hour, b.accepted_at) < over
            AND (b.collector_id, b.stream) = (e.collector_id, e.stream) AND b.sequence < e.last
            AND NOT EXISTS (SELECT 1 FROM vault_epoch_batches WHERE batch_id = b.id)
        RETURNING b.collector_id, b.stream, b.sequence
    ), lasts AS (
        SELECT c.id, w.stream,
               greatest(max(w.sequence), (c.forgotten ->> w.stream)::bigint) AS sequence
        FROM went AS w JOIN accounts_collector AS c ON c.id = w.collector_id GROUP BY 1, 2
    ), streams AS (
        SELECT id, jsonb_object_agg(stream, sequence) AS forgotten FROM lasts GROUP BY 1
    )
    UPDATE accounts_collector AS c SET forgotten = c.forgotten || s.forgotten
        FROM streams AS s WHERE s.id = c.id;
    -- All that a query could reach has expired when the day has on which it was put: what it asked
    -- goes. That it was asked stays, as in the keepers' logs: oversight holds one against the other.
    UPDATE query_query SET sealed = '', share_key = NULL, waiting = NULL
        WHERE tenant_id = tenant AND created_at < over AND sealed <> '';
    DELETE FROM query_lodgedwarrant AS w WHERE tenant_id = tenant AND valid_to < over
        AND NOT EXISTS (SELECT 1 FROM query_query WHERE warrant_id = w.id);
    UPDATE query_lodgedwarrant SET sealed = ''
        WHERE tenant_id = tenant AND valid_to < over AND sealed <> '';
    RETURN gone;
END $$;
"""

# A month whose last day has expired, and of which no tenant has an epoch left: whether it was there
# and went. It does not make a sealer wait for a lock.
DROP_MONTH = """
CREATE FUNCTION retention_drop_month(month integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    first date := make_date(month / 100, month % 100, 1);
    each text;
BEGIN
    IF NOT retention_is_expired((first + interval '1 month')::date - 1)
            OR to_regclass('vault_segment_' || month) IS NULL THEN
        RETURN false;
    END IF;
    FOR each IN SELECT name FROM accounts_tenant LOOP
        PERFORM set_config('icr.tenant', each, true);
        IF EXISTS (SELECT 1 FROM vault_epoch AS e
                   WHERE e.tenant_id = each AND e.month = retention_drop_month.month) THEN
            RETURN false;
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE %I, %I', 'vault_segment_' || month, 'vault_bucket_' || month);
    RETURN true;
END $$;
"""

# What is of no tenant: nonces of signatures, and intake keys to which nobody seals any more.
SWEEP = """
CREATE FUNCTION retention_sweep() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM accounts_nonce WHERE expires_at < now();
    DELETE FROM inbox_intakekey WHERE hour < now() - interval '5 days';
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("retention", "0001_initial"),
        ("accounts", "0006_forgotten"),
        ("inbox", "0003_row_security"),
        ("vault", "0003_row_security"),
        ("query", "0003_row_security"),
    ]

    operations = [
        migrations.RunSQL(ROW_SECURITY),
        migrations.RunSQL(IS_EXPIRED, "DROP FUNCTION retention_is_expired(date)"),
        migrations.RunSQL(FORGET, "DROP FUNCTION retention_forget(text)"),
        migrations.RunSQL(DROP_MONTH, "DROP FUNCTION retention_drop_month(integer)"),
        migrations.RunSQL(SWEEP, "DROP FUNCTION retention_sweep()"),
    ]
