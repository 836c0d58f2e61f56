//! Every metric of the control plane. A macro of `metrics` that names none of these fails the docs suite, and a row that
//! no node exposes, or with other labels, the telemetry suite.

use telemetry::metric::{Metric, Unit, counter, few, gauge, histogram, of};

const RESULT: &str = "`ok`, or the code of the error";
const QUEUES: &[&str] = &["log_writes", "audit_records", "audit_notes"];
const KEYS: &[&str] = &["next", "retiring"];
const SINKS: &[&str] = &["stdout", "http"];

/// In the order of the page.
pub const METRICS: &[Metric] = &[
    // Raft
    counter("raft_leadership_changes", &[], "new leaders that this node has seen"),
    gauge("raft_log_size_bytes", Unit::Bytes, &[], "size of the records in the log"),
    histogram("raft_apply_latency", &[], "time to apply one committed entry, without the disk"),
    gauge(
        "hj_cp_revision",
        Unit::Count,
        &[of("kind", &["commit", "applied", "snapshot"])],
        "how far the cluster has committed, as far as this node knows, and how far this node is",
    ),
    gauge("hj_cp_leader", Unit::Count, &[], "1 when this node leads, else 0"),
    gauge(
        "hj_cp_members",
        Unit::Count,
        &[of("role", &["voter", "learner"])],
        "members of the cluster, as this node knows them, whether they run or not",
    ),
    counter(
        "hj_cp_role_transitions_total",
        &[of("to", &["leader", "candidate", "follower", "learner", "lost_leader"])],
        "how often this node's role became that",
    ),
    counter(
        "hj_cp_log_losses_total",
        &[few("node", "the ids of members that follow")],
        "times that a node did not have what it had acknowledged to this one as leader: it was given an empty data \
         directory, or its disk loses what it says is written",
    ),
    counter("hj_cp_joins_refused_total", &[], "nodes that asked to be taken in and were not"),
    counter(
        "hj_cp_peer_rpc_refused_total",
        &[of(
            "reason",
            &[
                "unsigned",
                "malformed",
                "mismatch",
                "of_a_pod",
                "stale",
                "replayed",
                "other_receiver",
                "other_cluster",
                "no_cluster",
                "not_a_member",
                "other_body",
                "too_large",
            ],
        )],
        "calls of peers that were refused",
    ),
    counter(
        "hj_cp_proposal_failures_total",
        &[of("why", &["no_leader", "unknown", "key_generation", "too_new", "too_large", "stopping"])],
        "changes asked of this node that no leader carried out, or with an outcome that nobody knows; a change that \
         was refused is none",
    ),
    // Queues
    gauge(
        "hj_cp_proposals_in_flight",
        Unit::Count,
        &[],
        "changes asked of this node that wait for a leader, a majority, or to be applied here",
    ),
    gauge("hj_cp_key_generations_in_flight", Unit::Count, &[], "RSA keys that are made or wait to be: one at a time"),
    gauge(
        "hj_cp_queue_length",
        Unit::Count,
        &[of("queue", QUEUES)],
        "what waits: writes of the log for the disk, audit records for the disk, notes of the audit for the log",
    ),
    gauge(
        "hj_cp_queue_limit",
        Unit::Count,
        &[of("queue", QUEUES)],
        "how much may wait there; then writers of the first two wait, and notes are dropped and counted",
    ),
    // HTTP
    histogram(
        "hj_cp_http_request_duration_seconds",
        &[
            few("route", "a path of the [admin API](admin-api.md#routes-and-roles), or `unmatched`"),
            few("status", "of HTTP"),
        ],
        "requests of the admin API, from their head to the head of the answer",
    ),
    gauge("hj_cp_http_requests_in_flight", Unit::Count, &[], "requests of the admin API that are being answered"),
    gauge("hj_cp_http_workers", Unit::Count, &[], "threads that answer the admin API"),
    gauge("hj_cp_event_listeners", Unit::Count, &[], "streams of events that are open; 1000 are taken"),
    counter(
        "hj_cp_accept_queue_overflows_total",
        &[],
        "connections that found a listener's queue full, as the kernel counts them for all listeners of the network \
         namespace",
    ),
    // Administration
    counter(
        "hj_cp_admin_auth_failures_total",
        &[of("kind", &["credential", "oidc", "token"])],
        "sign-ins and tokens that were refused",
    ),
    counter("hj_cp_admin_sign_ins_total", &[of("method", &["credential", "oidc"])], "tokens handed out"),
    counter("hj_cp_admin_lockouts_total", &[of("of", &["address", "credential"])], "how often one was locked out"),
    counter("hj_cp_admin_throttled_total", &[], "requests answered 429"),
    counter(
        "hj_cp_admin_changes_total",
        &[few("mutation", "what was to be done, such as `create_tenant`, or `batch`"), few("result", RESULT)],
        "changes asked of this node",
    ),
    counter(
        "hj_cp_registrations_total",
        &[of("action", &["register", "read", "update", "delete"]), few("result", RESULT)],
        "clients that registered, looked at, changed or removed themselves",
    ),
    // Files
    counter(
        "hj_cp_gitops_runs_total",
        &[of("result", &["ok", "partial", "failed"])],
        "looks at --gitops-dir by this node as leader; partial: a file is broken",
    ),
    histogram("hj_cp_gitops_run_seconds", &[], "what such a look took"),
    gauge(
        "hj_cp_gitops_files",
        Unit::Count,
        &[of("state", &["ok", "broken"])],
        "files at its last look; none where it does not lead",
    ),
    gauge(
        "hj_cp_gitops_file_errors",
        Unit::Count,
        &[few("path", "of the first 100 files that were in error since the node started; `_other`: how many more are")],
        "1 while a file is in error, as this node sees as leader; else 0",
    ),
    counter("hj_cp_gitops_drift_total", &[], "times that a change by hand was put back"),
    gauge("hj_cp_projection_revision", Unit::Count, &[], "the revision that the files of --fs-projection show"),
    counter("hj_cp_projection_failures_total", &[], "times that they could not be written"),
    gauge(
        "hj_cp_data_dir_free_bytes",
        Unit::Bytes,
        &[],
        "what this node may still write to the file system of --data-dir",
    ),
    // Audit
    gauge("hj_cp_audit_bytes", Unit::Bytes, &[], "size of the audit's records"),
    counter("hj_cp_audit_removed_total", &[], "records that this node, as leader, removed by the retention"),
    counter(
        "hj_cp_audit_notes_dropped_total",
        &[],
        "notes for the audit that came faster than they can be kept; how many is in the audit, too",
    ),
    gauge(
        "hj_cp_audit_sink_lag_records",
        Unit::Count,
        &[of("sink", SINKS)],
        "the backlog of a sink: records that it has not got, told by the leader",
    ),
    counter(
        "hj_cp_audit_sink_delivered_total",
        &[of("sink", SINKS)],
        "records that this node, as leader, delivered to it",
    ),
    counter("hj_cp_audit_sink_failures_total", &[of("sink", SINKS)], "times that it did not take them"),
    // Keys
    counter(
        "hj_cp_key_rotation_steps_total",
        &[of("step", &["publish", "activate", "revoke"]), few("result", RESULT)],
        "steps of key rotations that this node took as leader",
    ),
    gauge("hj_cp_key_rotation_waiting", Unit::Count, &[of("status", KEYS)], "keys that will go on by themselves"),
    gauge(
        "hj_cp_key_rotation_held_up",
        Unit::Count,
        &[of("status", KEYS)],
        "those of them that wait for a pod or a node",
    ),
    // Pods
    histogram(
        "hj_cp_propagation_seconds",
        &[],
        "from a change being applied on this node to a pod's acknowledgement of it, which many pods put off, by up to a \
         second; of changes acknowledged together, the oldest",
    ),
    gauge("hj_cp_watch_subscribers", Unit::Count, &[], "streams of pods to this node"),
    gauge(
        "hj_cp_watch_slowest_lag_revisions",
        Unit::Count,
        &[],
        "revisions that the slowest pod connected here has not acknowledged",
    ),
    gauge("hj_cp_watch_ring_frames", Unit::Count, &[], "changes held for pods that come back or are slow"),
    gauge("hj_cp_watch_ring_bytes", Unit::Bytes, &[], "size of these changes; at 16 MiB the oldest go"),
    counter("hj_cp_watch_resets_total", &[], "pods that fell behind what is held and were given a snapshot"),
    // Certificates
    counter(
        "hj_cp_handshakes_total",
        &[
            of("port", &["peer", "watch", "admin"]),
            of("end", &["server", "client"]),
            few("outcome", "`established`, or [why not](tls.md#what-is-refused)"),
        ],
        "connections of peers and pods, and by TLS to the admin API, and how they came about or did not",
    ),
    counter(
        "hj_cp_tls_reloads_total",
        &[of("outcome", &["replaced", "refused"])],
        "certificates that were replaced while running",
    ),
    gauge(
        "hj_cp_tls_certificate_not_after_seconds",
        Unit::Seconds,
        &[few("file", "those of the settings")],
        "Unix time at which the first certificate of a file ends",
    ),
];
