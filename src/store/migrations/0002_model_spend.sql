-- What models may cost, kept across restarts and replicas: a row for each call, reserved before it and settled after it. A reservation
-- that is never settled counts as spent.

CREATE TABLE model_spend (
    call_id         text           NOT NULL PRIMARY KEY,
    incident_uid    uuid           NOT NULL,
    namespace       text           NOT NULL,
    day             date           NOT NULL,
    reserved_tokens bigint         NOT NULL CHECK (reserved_tokens >= 0),
    reserved_usd    decimal(16, 6) NOT NULL CHECK (reserved_usd >= 0),
    spent_tokens    bigint         CHECK (spent_tokens >= 0),
    spent_usd       decimal(16, 6) CHECK (spent_usd >= 0),
    reserved_at     timestamptz    NOT NULL DEFAULT now(),
    settled_at      timestamptz
);
CREATE INDEX model_spend_incident ON model_spend (incident_uid);
CREATE INDEX model_spend_day ON model_spend (day, namespace);
