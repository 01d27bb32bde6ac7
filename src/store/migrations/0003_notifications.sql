-- What is to be told to people outside the cluster: a row for each notice and channel, enqueued before the transition that it tells of
-- counts as stored, and kept until it is told or given up.

CREATE TABLE notifications (
    incident_uid  uuid        NOT NULL,
    channel       text        NOT NULL,
    sequence      bigint      NOT NULL CHECK (sequence >= 1),
    incident_name text        NOT NULL,
    namespace     text        NOT NULL,
    notice        jsonb       NOT NULL,
    state         text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'dead')),
    attempts      integer     NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT now(),
    claim         uuid,
    claimed_until timestamptz,
    last_error    text,
    enqueued_at   timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    PRIMARY KEY (incident_uid, channel, sequence)
);
COMMENT ON TABLE notifications IS 'Outbox of messages to people: at least once, in order for each incident and channel.';
CREATE INDEX notifications_due ON notifications (channel, next_at) WHERE state = 'pending';

-- The message of an incident at a channel that is renewed in place, and whose thread takes the others.
CREATE TABLE notification_threads (
    incident_uid uuid        NOT NULL,
    channel      text        NOT NULL,
    place        text        NOT NULL,
    message      text        NOT NULL,
    begun_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (incident_uid, channel)
);
