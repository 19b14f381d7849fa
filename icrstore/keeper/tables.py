"""The tables of a keeper's store; `icrstore.keeper.store` says what who writes them gains."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_leaf_at INTEGER NOT NULL,                     -- Unix seconds
    trusted_at INTEGER NOT NULL,                       -- when it was last known to be right
    boot TEXT NOT NULL,                                -- the boot of the last leaf, and
    boot_seconds INTEGER NOT NULL                      -- how long it had lasted then
) STRICT;
CREATE TABLE IF NOT EXISTS tenant (
    name TEXT PRIMARY KEY,
    root_key BLOB NOT NULL CHECK (length(root_key) = 32),
    pseudonym TEXT NOT NULL UNIQUE,
    tag_key BLOB NOT NULL,                             -- locked under the storage key
    size INTEGER NOT NULL DEFAULT 0                    -- leaves of this tenant's log
) STRICT;
CREATE TABLE IF NOT EXISTS pin (
    kind TEXT NOT NULL CHECK (kind IN ('authority', 'engine')),
    tenant TEXT NOT NULL REFERENCES tenant (name),
    name TEXT NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 32),
    PRIMARY KEY (kind, tenant, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notifier (                  -- who is told whom to tell
    tenant TEXT NOT NULL REFERENCES tenant (name),
    name TEXT NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 32),        -- signs its calls and notices
    sealing_key BLOB NOT NULL,                         -- what is due is sealed to it (HPKE)
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS policy (                    -- never changed: one from each hour on
    tenant TEXT NOT NULL REFERENCES tenant (name),
    effective INTEGER NOT NULL,                        -- Unix seconds of the first hour
    statement BLOB NOT NULL,                           -- as the tenant's root signed it
    PRIMARY KEY (tenant, effective)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS backfill (                  -- old hours that may be registered
    tenant TEXT NOT NULL REFERENCES tenant (name),
    sha256 BLOB NOT NULL,                              -- of the policy
    first INTEGER NOT NULL,                            -- Unix seconds, of hours
    end INTEGER NOT NULL,
    valid_to INTEGER NOT NULL,                         -- Unix seconds
    PRIMARY KEY (tenant, sha256)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS budget (                    -- questions a day, where pinned
    tenant TEXT NOT NULL REFERENCES tenant (name),
    kind TEXT NOT NULL CHECK (kind IN ('officer', 'authority')),
    most INTEGER NOT NULL CHECK (most >= 0),
    PRIMARY KEY (tenant, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS canary (                    -- accounts that nobody has
    tenant TEXT NOT NULL REFERENCES tenant (name),
    mac BLOB NOT NULL CHECK (length(mac) = 32),        -- under a key of the tag key
    PRIMARY KEY (tenant, mac)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revocation (                -- keys that their root took back
    tenant TEXT NOT NULL REFERENCES tenant (name),
    root BLOB NOT NULL CHECK (length(root) = 32),
    key BLOB NOT NULL CHECK (length(key) = 32),
    PRIMARY KEY (tenant, root, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS peer (
    role TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    log_key BLOB NOT NULL CHECK (length(log_key) = 32),
    witness_key BLOB NOT NULL CHECK (length(witness_key) = 32)
) STRICT;
CREATE TABLE IF NOT EXISTS day (
    tenant TEXT NOT NULL REFERENCES tenant (name),
    day TEXT NOT NULL,
    public BLOB NOT NULL,
    seed BLOB NOT NULL,                                -- locked under kek[day + 364]
    day_key BLOB NOT NULL,                             -- locked under a key of the seed
    PRIMARY KEY (tenant, day)
) STRICT;
CREATE TABLE IF NOT EXISTS shred (                     -- the leaves that certify destroyed days
    tenant TEXT NOT NULL REFERENCES tenant (name),
    day TEXT NOT NULL,
    leaf INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaf (
    tenant TEXT NOT NULL REFERENCES tenant (name),
    number INTEGER NOT NULL,
    text BLOB NOT NULL,
    private BLOB NOT NULL,                             -- salt and private text, locked; or lost
    PRIMARY KEY (tenant, number)
) STRICT;
CREATE TABLE IF NOT EXISTS node (                      -- complete subtrees; never changed
    tenant TEXT NOT NULL REFERENCES tenant (name),
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant, level, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subject (                   -- the n of the next tag
    tenant TEXT NOT NULL REFERENCES tenant (name),
    name BLOB NOT NULL,
    leaves INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epoch (
    eid BLOB PRIMARY KEY CHECK (length(eid) = 16),
    tenant TEXT NOT NULL REFERENCES tenant (name),
    hour INTEGER NOT NULL,                             -- Unix seconds of its start
    shard INTEGER NOT NULL,
    statement_sha256 BLOB NOT NULL CHECK (length(statement_sha256) = 32),
    atom BLOB NOT NULL                                 -- locked under the day's key
) STRICT;
CREATE INDEX IF NOT EXISTS epoch_in_scope ON epoch (tenant, hour, eid);  -- epochs_of_hours
CREATE TABLE IF NOT EXISTS request (
    sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    tenant TEXT NOT NULL REFERENCES tenant (name),
    warrant_sha256 BLOB NOT NULL CHECK (length(warrant_sha256) = 32),
    engine TEXT NOT NULL,
    engine_identity BLOB NOT NULL CHECK (length(engine_identity) = 32),
    engine_key BLOB NOT NULL,                          -- the only one that shares are sealed to
    engine_key_ends_at INTEGER NOT NULL,
    statements BLOB NOT NULL,                          -- warrant, request, grants; locked
    state TEXT NOT NULL CHECK (state IN ('committed', 'released', 'disclosed', 'expired')),
    selectors INTEGER NOT NULL CHECK (selectors > 0),  -- leaves of the commit, of the release
    committed_at INTEGER NOT NULL,
    commit_leaf INTEGER NOT NULL,                      -- the first of them
    released_at INTEGER,
    release_leaf INTEGER,
    lent_at INTEGER,
    answer_sha256 BLOB,
    disclosed INTEGER,                                 -- leaves of the disclosure
    disclosure_leaf INTEGER,
    CHECK ((released_at IS NULL) = (state IN ('committed', 'expired'))),
    CHECK ((answer_sha256 IS NULL) = (state != 'disclosed'))
) STRICT;
-- Budgets count by these two alone: a row is long.
CREATE INDEX IF NOT EXISTS request_of_warrant ON request (tenant, warrant_sha256, state);
CREATE INDEX IF NOT EXISTS request_ended ON request (tenant, committed_at)
    WHERE state = 'expired';                           -- requests_by
CREATE INDEX IF NOT EXISTS request_open ON request (tenant, committed_at)
    WHERE state = 'committed';                         -- committed_before
CREATE TABLE IF NOT EXISTS asker (                     -- in whose budgets a request counts
    tenant TEXT NOT NULL REFERENCES tenant (name),
    kind TEXT NOT NULL CHECK (kind IN ('officer', 'authority')),
    name BLOB NOT NULL,                                -- whose budget, `budgets.askers`
    day TEXT NOT NULL,                                 -- UTC, of the commit
    request_sha256 BLOB NOT NULL REFERENCES request (sha256),
    PRIMARY KEY (tenant, kind, name, day, request_sha256)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request_epoch (             -- fixed at the commit
    request_sha256 BLOB NOT NULL REFERENCES request (sha256),
    position INTEGER NOT NULL,
    eid BLOB NOT NULL REFERENCES epoch (eid),
    PRIMARY KEY (request_sha256, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS request_of_epoch ON request_epoch (eid);      -- destroy_day
CREATE TABLE IF NOT EXISTS debt (                      -- the leaves whose accounts must be told
    tenant TEXT NOT NULL REFERENCES tenant (name),
    number INTEGER NOT NULL,                           -- 1, 2, .. as they fell due
    leaf INTEGER NOT NULL,
    account BLOB NOT NULL,                             -- locked under the storage key
    owed_at INTEGER NOT NULL,                          -- Unix seconds
    notice INTEGER,                                    -- the leaf that says it was told
    PRIMARY KEY (tenant, number),
    UNIQUE (tenant, leaf)
) STRICT;
CREATE TABLE IF NOT EXISTS refusal (                   -- one leaf, however often it is repeated
    tenant TEXT NOT NULL REFERENCES tenant (name),
    request_sha256 BLOB NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (tenant, request_sha256, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (                -- checkpoints of ours that we do not know
    origin TEXT NOT NULL,
    note BLOB NOT NULL,                                -- as our own log key signed it
    shown_at INTEGER NOT NULL,                         -- Unix seconds
    ended_at INTEGER,                                  -- when `recover` put the log right
    PRIMARY KEY (origin, note)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS recovered (                 -- each time that a log was put right
    tenant TEXT NOT NULL REFERENCES tenant (name),
    leaf INTEGER NOT NULL,                             -- the leaf that says so
    at INTEGER NOT NULL,                               -- Unix seconds
    questions INTEGER NOT NULL,                        -- leaves of questions that were lost
    PRIMARY KEY (tenant, leaf)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lost (                      -- leaves without their private text
    tenant TEXT NOT NULL REFERENCES tenant (name),
    leaf INTEGER NOT NULL,
    private_sha256 BLOB NOT NULL CHECK (length(private_sha256) = 32),
    type TEXT NOT NULL,
    day TEXT NOT NULL,
    PRIMARY KEY (tenant, leaf)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lost_text ON lost (tenant, private_sha256);   -- restore
CREATE TABLE IF NOT EXISTS stranger (                  -- refusals of callers that nobody pinned
    code TEXT PRIMARY KEY,
    refused INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
