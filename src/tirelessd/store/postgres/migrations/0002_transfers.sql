-- compatible_from: 1
-- What is moved here from an embedded store: from which one, as of which of its commits, and how far
-- it has come. Each batch moves these places along in its own commit, so that one that is cut short
-- goes on where it stopped. Until it is finished no daemon starts here.
CREATE TABLE transfers (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    source text NOT NULL,
    source_mark bigint NOT NULL,
    last_row bigint NOT NULL DEFAULT 0,
    last_queue text NOT NULL DEFAULT '',
    last_key text NOT NULL DEFAULT '',
    begun_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
