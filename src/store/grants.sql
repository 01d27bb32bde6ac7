-- Rights of the operator's role, given anew by every `firewatch migrate`: it may add to the record and read it; it may change nothing of
-- what is append only, and delete nothing. Where the role is missing and this role may not create it, that is said, not failed.
DO $$
BEGIN
    -- Two at once would change the same rows of the catalogue ("tuple concurrently updated"): one waits for the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('firewatch migrate: grants', 0));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'firewatch') THEN
        BEGIN
            CREATE ROLE firewatch NOLOGIN;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role firewatch does not exist and cannot be created: create it, then run firewatch migrate again';
            WHEN duplicate_object OR unique_violation THEN
                NULL;
        END;
    END IF;
    -- A single role that owns everything needs no rights from itself.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'firewatch') AND current_user <> 'firewatch' THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO firewatch', current_schema());
        REVOKE ALL ON transitions, payloads, agent_messages, evidence, commands, model_calls, approvals, audit_logs, model_spend, notifications, notification_threads FROM firewatch;
        GRANT SELECT, INSERT ON transitions, payloads, agent_messages, evidence, commands, model_calls TO firewatch;
        GRANT SELECT, INSERT, UPDATE ON approvals, audit_logs, model_spend TO firewatch;
        GRANT SELECT, INSERT, UPDATE ON notifications, notification_threads TO firewatch;
        GRANT SELECT ON critical_incidents_last_day, cost_by_service, approval_rate, _sqlx_migrations TO firewatch;
    END IF;
END
$$;
