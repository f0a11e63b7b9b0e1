-- A commit costs its pages, so a decision on a request should write few of them.
--
-- `live` is what the index of live streams asks, apart from `state_kind`: a request that becomes a grant stays in the index as it is.
-- `slack` is room to grow: what a state gains, the slack loses, so that the row is overwritten where it lies. A row that grew
-- past its room would be moved, together with its neighbours on the pages beside it. It means nothing and nobody reads it.
ALTER TABLE streams ADD COLUMN live INTEGER;
ALTER TABLE streams ADD COLUMN slack BLOB;

DROP INDEX streams_live;
UPDATE streams SET live = 1 WHERE state_kind IN ('pending', 'scheduled', 'active');
CREATE INDEX streams_live ON streams (created) WHERE live = 1;
