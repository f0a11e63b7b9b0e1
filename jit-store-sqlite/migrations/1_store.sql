-- The audit log. Append-only: the triggers are no defence against an attacker who can write the file (the hash chain is what
-- shows that), they are against a mistake.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream   TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    at       INTEGER NOT NULL, -- microseconds since 1970-01-01T00:00:00Z
    body     TEXT    NOT NULL,
    previous BLOB    NOT NULL CHECK (length(previous) = 32),
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Each stream as it stands. The facets are columns; they say nothing that the last write did not. `created` is the row's own
-- number, so every index below ends with it unasked: a page of requests, newest first, is one walk.
CREATE TABLE streams (
    created    INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    state_kind TEXT,
    resource   TEXT,
    requester  TEXT
) STRICT;

-- A stream only moves on. This catches a second writer that got past the lock.
CREATE TRIGGER streams_only_move_on BEFORE UPDATE OF created, version ON streams
WHEN NEW.version <= OLD.version OR NEW.created <> OLD.created
BEGIN SELECT RAISE(ABORT, 'a stream can only move on'); END;

CREATE INDEX streams_live ON streams (created) WHERE state_kind IN ('pending', 'scheduled', 'active');
CREATE INDEX streams_by_resource ON streams (resource) WHERE resource IS NOT NULL;
CREATE INDEX streams_by_requester ON streams (requester) WHERE requester IS NOT NULL;

CREATE TABLE cells (
    name    TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    value   TEXT    NOT NULL
) STRICT;
