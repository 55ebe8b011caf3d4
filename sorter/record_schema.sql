-- One run record. application_id and user_version are set by record_writer.py.
-- Host times (_ns) are perf_counter_ns; meta.origin_ns is its reading at meta.started_utc.
-- Device times (_us) are the dispenser's unwrapped microsecond counter.

CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  run_id TEXT NOT NULL,
  started_utc TEXT NOT NULL,
  origin_ns INTEGER NOT NULL,
  versions_json TEXT NOT NULL,
  settings_toml TEXT NOT NULL,
  model_hash TEXT NOT NULL,
  bundle_manifest_json TEXT NOT NULL,
  seed INTEGER,                      -- NULL on a real rig
  note TEXT NOT NULL,
  ended_utc TEXT,                    -- NULL while the run lasts
  end_reason TEXT,                   -- done | fault | interrupted | unfinished: controller gone
  exit_code INTEGER                  -- NULL when unfinished
) STRICT;

CREATE TABLE frames (
  id INTEGER PRIMARY KEY,
  number INTEGER NOT NULL,           -- the camera's; a gap means lost frames
  exposed_ns INTEGER NOT NULL,
  exposed_error_ns INTEGER NOT NULL,
  received_ns INTEGER NOT NULL,
  done_ns INTEGER NOT NULL,
  n_objects INTEGER NOT NULL
) STRICT;

CREATE TABLE objects (
  id INTEGER PRIMARY KEY,
  first_exposed_ns INTEGER NOT NULL,
  last_exposed_ns INTEGER NOT NULL,
  received_ns INTEGER NOT NULL,
  decided_ns INTEGER NOT NULL,
  diameter_um REAL,
  circularity REAL,
  solidity REAL,
  grey_ratio REAL,
  velocity_um_s REAL,
  n_views INTEGER NOT NULL,
  double INTEGER NOT NULL,
  split INTEGER NOT NULL,
  touching INTEGER NOT NULL,
  p_unhealthy REAL,                  -- aggregated over views; NULL: the network was not asked
  p_other REAL,
  view_probabilities BLOB NOT NULL,  -- float32, (n_views, classes)
  outlet TEXT NOT NULL,
  reason TEXT NOT NULL,
  open_us INTEGER,
  close_us INTEGER,
  command_id INTEGER,
  arrival_ns INTEGER,                -- predicted, at the junction
  arrival_error_ns INTEGER,
  sent_ns INTEGER,                   -- later news of the command
  acknowledged_ns INTEGER,
  executed_ns INTEGER,
  refused TEXT,
  changed_ns INTEGER,                -- a decision that was taken back later
  changed_outlet TEXT,
  changed_reason TEXT
) STRICT;
CREATE INDEX objects_command ON objects (command_id) WHERE command_id IS NOT NULL;

CREATE TABLE sightings (
  object_id INTEGER NOT NULL,
  frame_number INTEGER NOT NULL,
  x_px REAL NOT NULL,
  y_px REAL NOT NULL
) STRICT;
CREATE INDEX sightings_object ON sightings (object_id);

CREATE TABLE crops (
  object_id INTEGER NOT NULL,
  view INTEGER NOT NULL,             -- 0 is the most telling one
  height INTEGER NOT NULL,
  width INTEGER NOT NULL,
  png BLOB NOT NULL,
  PRIMARY KEY (object_id, view)
) STRICT;

CREATE TABLE commands (
  id INTEGER PRIMARY KEY,
  object_id INTEGER NOT NULL,
  outlet TEXT NOT NULL,
  open_us INTEGER NOT NULL,
  close_us INTEGER NOT NULL,
  sent_ns INTEGER NOT NULL,
  cause_ns INTEGER,                  -- received_ns of the frame in whose step it went out
  acked_ns INTEGER,
  opened_us INTEGER,
  closed_us INTEGER,
  executed_ns INTEGER,
  refused TEXT
) STRICT;

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  at_ns INTEGER NOT NULL,
  level TEXT NOT NULL,
  name TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;

CREATE TABLE journal (
  step INTEGER PRIMARY KEY,
  blob BLOB NOT NULL
) STRICT;

CREATE TABLE status (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  updated_utc TEXT NOT NULL,
  counters_json TEXT NOT NULL
) STRICT;
