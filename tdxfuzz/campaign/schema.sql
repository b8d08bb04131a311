-- The store of a campaign. Only the coordinator writes; anybody may read meanwhile (WAL).

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One row for each hunt that was counted: its number makes sure that it is counted once.
CREATE TABLE hunts (
    number INTEGER PRIMARY KEY,
    design TEXT NOT NULL,
    kind TEXT NOT NULL,
    cpus INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    cases INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    seconds REAL NOT NULL,
    discarded INTEGER NOT NULL,
    schedules INTEGER NOT NULL
);

CREATE TABLE seen (
    design TEXT NOT NULL,
    check_id TEXT NOT NULL,
    cases INTEGER NOT NULL,
    PRIMARY KEY (design, check_id)
) WITHOUT ROWID;

CREATE TABLE witnesses (
    design TEXT NOT NULL,
    witness TEXT NOT NULL,
    cases INTEGER NOT NULL,
    PRIMARY KEY (design, witness)
) WITHOUT ROWID;

CREATE TABLE calls (
    design TEXT NOT NULL,
    leaf INTEGER NOT NULL,
    code INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (design, leaf, code)
) WITHOUT ROWID;

CREATE TABLE features (
    design TEXT NOT NULL,
    feature INTEGER NOT NULL,
    entry TEXT NOT NULL, -- of the corpus; the first that reached it
    PRIMARY KEY (design, feature)
) WITHOUT ROWID;

CREATE TABLE corpus (
    name TEXT PRIMARY KEY,
    design TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE findings (
    design TEXT NOT NULL,
    bucket TEXT NOT NULL,
    message TEXT NOT NULL,
    cases INTEGER NOT NULL,
    seconds REAL NOT NULL,
    sightings INTEGER NOT NULL,
    original TEXT NOT NULL,
    original_operations INTEGER NOT NULL,
    original_preemptions INTEGER NOT NULL,
    shrunk TEXT,
    operations INTEGER,
    preemptions INTEGER,
    reliable INTEGER,
    kept_because TEXT,
    -- When it was met first and last: the time of day (UTC), and after how many cases in all.
    first_wall TEXT NOT NULL,
    last_wall TEXT NOT NULL,
    last_cases INTEGER NOT NULL,
    PRIMARY KEY (design, bucket)
);

CREATE TABLE cut_off (
    design TEXT PRIMARY KEY,
    why TEXT NOT NULL,
    bucket TEXT NOT NULL, -- that the reproducer of the error shows; "" if there is none
    text TEXT NOT NULL,
    is_suspect INTEGER NOT NULL
) WITHOUT ROWID;

-- How it went: a row now and then.
CREATE TABLE samples (
    seconds REAL PRIMARY KEY,
    cases INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    features INTEGER NOT NULL,
    findings INTEGER NOT NULL,
    workers INTEGER NOT NULL,
    rss INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seconds REAL NOT NULL,
    wall TEXT NOT NULL,
    kind TEXT NOT NULL,
    fields TEXT NOT NULL
);
