-- The record of every investigation. Append only but for `approvals` (decisions and claims are added, never changed) and
-- `audit_logs` (one row per investigation, renewed as it goes on). Rights of the operator's role: see grants.sql.

CREATE TABLE transitions (
    incident_uid   uuid        NOT NULL,
    sequence       bigint      NOT NULL CHECK (sequence >= 1),
    incident_name  text        NOT NULL,
    namespace      text        NOT NULL,
    at             timestamptz NOT NULL,
    from_phase     text        NOT NULL,
    to_phase       text        NOT NULL,
    actor          text        NOT NULL,
    reason         text        NOT NULL,
    message        text        NOT NULL,
    payload_digest text        NOT NULL,
    payload_name   text,
    previous_hash  text        NOT NULL,
    hash           text        NOT NULL,
    stored_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (incident_uid, sequence)
);
COMMENT ON TABLE transitions IS 'Every transition of every incident: append only, one hash chain per incident.';
CREATE INDEX transitions_at ON transitions (at);

-- What a transition recorded, by the digest that stands in the transition.
CREATE TABLE payloads (
    incident_uid uuid        NOT NULL,
    digest       text        NOT NULL,
    payload      jsonb       NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (incident_uid, digest)
);

CREATE TABLE agent_messages (
    incident_uid uuid        NOT NULL,
    ordinal      bigint      NOT NULL,
    role         text        NOT NULL,
    recipient    text        NOT NULL,
    kind         text        NOT NULL,
    text         text        NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (incident_uid, ordinal)
);

CREATE TABLE evidence (
    incident_uid uuid        NOT NULL,
    id           text        NOT NULL,
    agent        text        NOT NULL,
    command      jsonb       NOT NULL,
    argv         jsonb       NOT NULL,
    state        text        NOT NULL,
    exit_code    integer,
    duration_ms  bigint      NOT NULL,
    collected_at timestamptz NOT NULL,
    output       text        NOT NULL,
    sha256       text        NOT NULL,
    PRIMARY KEY (incident_uid, id)
);
COMMENT ON COLUMN evidence.output IS 'Redacted in the sandbox. A NUL, which Postgres cannot keep, is replaced by U+FFFD.';

CREATE TABLE commands (
    incident_uid  uuid        NOT NULL,
    id            text        NOT NULL,
    role          text        NOT NULL,
    lane          text        NOT NULL,
    argv          jsonb       NOT NULL,
    state         text        NOT NULL,
    exit_code     integer,
    duration_ms   bigint      NOT NULL,
    output_sha256 text,
    evidence      text,
    action        text,
    result        text,
    stored_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (incident_uid, id)
);

CREATE TABLE model_calls (
    incident_uid      uuid           NOT NULL,
    id                text           NOT NULL,
    role              text           NOT NULL,
    model             text           NOT NULL,
    state             text           NOT NULL,
    request_digest    text           NOT NULL,
    response_digest   text,
    prompt_tokens     bigint         NOT NULL DEFAULT 0,
    completion_tokens bigint         NOT NULL DEFAULT 0,
    cost_usd          decimal(10, 6) NOT NULL DEFAULT 0,
    started_at        timestamptz    NOT NULL,
    duration_ms       bigint,
    PRIMARY KEY (incident_uid, id)
);

CREATE TABLE approvals (
    uid                uuid        NOT NULL PRIMARY KEY,
    incident_uid       uuid        NOT NULL,
    name               text        NOT NULL,
    plan_digest        text        NOT NULL,
    revision           bigint      NOT NULL,
    required_approvals integer     NOT NULL,
    expires_at         timestamptz NOT NULL,
    decision           text        NOT NULL CHECK (decision IN ('Pending', 'Approved', 'Rejected')),
    approver           text,
    reason             text,
    confirmation       jsonb,
    claim              jsonb,
    rollback_claim     jsonb,
    decided            boolean     NOT NULL,
    stored_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX approvals_incident ON approvals (incident_uid);
CREATE INDEX approvals_decision ON approvals (stored_at, decision);

CREATE TABLE audit_logs (
    id                    uuid           NOT NULL PRIMARY KEY,
    created_at            timestamptz    NOT NULL,
    updated_at            timestamptz    NOT NULL DEFAULT now(),
    name                  text           NOT NULL,
    namespace             text           NOT NULL,
    alert_type            text           NOT NULL,
    service               text           NOT NULL,
    severity              text           CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    phase                 text           NOT NULL,
    outcome               text,
    commander_messages    jsonb          NOT NULL DEFAULT '[]',
    sre_messages          jsonb          NOT NULL DEFAULT '[]',
    code_analyst_messages jsonb          NOT NULL DEFAULT '[]',
    planner_messages      jsonb          NOT NULL DEFAULT '[]',
    root_cause            text,
    root_cause_category   text,
    proposed_remediation  jsonb,
    commander_verdict     text,
    commander_reason      text,
    sandbox_commands      jsonb          NOT NULL DEFAULT '[]',
    sandbox_results       jsonb          NOT NULL DEFAULT '[]',
    execution_status      text           NOT NULL,
    total_tokens          bigint         NOT NULL DEFAULT 0,
    cost_usd              decimal(10, 6) NOT NULL DEFAULT 0,
    duration_ms           bigint,
    resolved              boolean        NOT NULL,
    human_intervention    boolean        NOT NULL,
    sequence              bigint         NOT NULL,
    last_hash             text,
    record                jsonb          NOT NULL
);
COMMENT ON TABLE audit_logs IS 'One row per investigation, for people''s questions; id is the uid of the Incident.';
CREATE INDEX audit_logs_severity ON audit_logs (severity, created_at DESC);
CREATE INDEX audit_logs_cost ON audit_logs (service, cost_usd);
CREATE INDEX audit_logs_created ON audit_logs (created_at DESC);
CREATE INDEX audit_logs_resolved ON audit_logs (resolved, human_intervention);

-- The three questions that people ask first.

CREATE VIEW critical_incidents_last_day AS
SELECT id, namespace, name, service, alert_type, phase, outcome, root_cause, resolved, human_intervention, created_at, duration_ms
FROM audit_logs
WHERE severity = 'critical' AND created_at > now() - interval '1 day'
ORDER BY created_at DESC;

CREATE VIEW cost_by_service AS
SELECT service, count(*) AS investigations, sum(total_tokens)::bigint AS total_tokens, sum(cost_usd) AS cost_usd,
       round(avg(cost_usd), 6) AS cost_per_investigation
FROM audit_logs
GROUP BY service
ORDER BY cost_usd DESC, service;

CREATE VIEW approval_rate AS
SELECT count(*) FILTER (WHERE decision = 'Approved') AS approved,
       count(*) FILTER (WHERE decision = 'Rejected') AS rejected,
       count(*) FILTER (WHERE decision = 'Pending') AS undecided,
       round(count(*) FILTER (WHERE decision = 'Approved')::numeric / nullif(count(*) FILTER (WHERE decision <> 'Pending'), 0), 4)
           AS approval_rate
FROM approvals;
