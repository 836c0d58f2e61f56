//! Every metric of the data plane. A macro of `metrics` that names none of these fails the docs suite, and a row that no
//! pod exposes, or with other labels, the telemetry suite.

use telemetry::metric::{Label, Metric, Unit, counter, few, gauge, histogram, of};

const TENANT: Label = few("tenant", "its slug; `_other` for all beyond the first `--metrics-tenants`");
const QUEUES: &[&str] = &["passwords", "outbound", "outbox_signals"];

/// In the order of the page.
pub const METRICS: &[Metric] = &[
    // Configuration
    gauge("hj_dp_config_revision", Unit::Count, &[], "revision in use"),
    gauge(
        "hj_dp_config_staleness_seconds",
        Unit::Seconds,
        &[],
        "time since the configuration was last known to be the newest",
    ),
    gauge(
        "hj_dp_config_rejected_resources",
        Unit::Count,
        &[],
        "resources that this pod [cannot use](fleet.md#what-a-pod-cannot-use)",
    ),
    gauge(
        "hj_dp_config_tenants",
        Unit::Count,
        &[of("staleness", &["fresh", "warn", "not_ready", "refuse"])],
        "tenants by what their policy says of that age",
    ),
    counter("hj_dp_stale_refusals_total", &[TENANT], "requests refused because the configuration is too old"),
    counter("hj_dp_rate_limited_total", &[TENANT], "requests refused because they were more than the tenant's limit"),
    histogram(
        "hj_dp_propagation_seconds",
        &[],
        "from the leader's decision to its use in this pod; as exact as the clocks agree",
    ),
    // HTTP
    histogram(
        "hj_dp_http_request_duration_seconds",
        &[
            few(
                "route",
                "a path of the [endpoints](data-plane.md#endpoints); `none`: no such path, or given up after 25 seconds",
            ),
            few("status", "of HTTP"),
        ],
        "requests of the public endpoints, from their head to the head of the answer",
    ),
    gauge(
        "hj_dp_http_requests_in_flight",
        Unit::Count,
        &[],
        "requests of the public endpoints that are being answered",
    ),
    gauge("hj_dp_http_workers", Unit::Count, &[], "threads that answer them"),
    counter(
        "hj_dp_accept_queue_overflows_total",
        &[],
        "connections that found a listener's queue full, as the kernel counts them for all listeners of the network \
         namespace",
    ),
    counter(
        "hj_dp_tokens_issued_total",
        &[TENANT, few("grant", "as the request's `grant_type` has it")],
        "answers of the token endpoint with tokens",
    ),
    // Databases
    gauge(
        "hj_dp_tenant_pool_connections",
        Unit::Count,
        &[TENANT, of("state", &["idle", "used"])],
        "connections to the tenant's database",
    ),
    gauge("hj_dp_tenant_pool_limit", Unit::Count, &[TENANT], "most connections that there may be to it"),
    gauge("hj_dp_tenant_pool_waiting", Unit::Count, &[TENANT], "requests that wait for one"),
    counter(
        "hj_dp_tenant_pool_failures_total",
        &[TENANT, of("reason", &["exhausted", "unavailable"])],
        "requests that got none: all were in use for too long, or the database does not answer",
    ),
    gauge(
        "hj_dp_pool_connections",
        Unit::Count,
        &[of("state", &["open", "free"])],
        "connections to all databases together: open, and how many more the pod may open",
    ),
    // Queues
    gauge(
        "hj_dp_queue_length",
        Unit::Count,
        &[of("queue", QUEUES)],
        "passwords that wait for a thread; requests to addresses of clients that are under way; hints to look into an \
         outbox",
    ),
    gauge("hj_dp_queue_limit", Unit::Count, &[of("queue", QUEUES)], "how many of them there may be"),
    counter(
        "hj_dp_queue_refused_total",
        &[of("queue", QUEUES)],
        "what found the queue full: passwords are answered 503, requests are not sent, hints are dropped",
    ),
    gauge(
        "hj_dp_password_threads",
        Unit::Count,
        &[of("state", &["busy", "idle"])],
        "threads that compute hashes of passwords",
    ),
    // To others
    counter(
        "hj_dp_outbound_requests_total",
        &[of("outcome", &["answered", "forbidden", "unreachable", "timeout", "status", "unusable", "busy"])],
        "requests to addresses that clients registered; forbidden: not https, or not on the public Internet",
    ),
    gauge(
        "hj_dp_outbox_pending",
        Unit::Count,
        &[TENANT],
        "messages to clients that are still to be delivered, as last counted by this pod",
    ),
    counter(
        "hj_dp_outbox_deliveries_total",
        &[
            TENANT,
            of("kind", &["logout", "ciba_ping", "ciba_mail", "link_mail", "change_mail"]),
            of("outcome", &["delivered", "failed", "given_up", "dropped"]),
        ],
        "attempts to deliver one; failed: tried again later; dropped: the client does not want it any more",
    ),
    // Certificates
    counter(
        "hj_dp_handshakes_total",
        &[
            of("port", &["watch", "public"]),
            of("end", &["client", "server"]),
            few("outcome", "`established`, or [why not](tls.md#what-is-refused)"),
        ],
        "connections to the control plane, and by TLS to the pod, and how they came about or did not",
    ),
    counter(
        "hj_dp_tls_reloads_total",
        &[of("outcome", &["replaced", "refused"])],
        "certificates that were replaced while running",
    ),
    gauge(
        "hj_dp_tls_certificate_not_after_seconds",
        Unit::Seconds,
        &[few("file", "those of the settings")],
        "Unix time at which the first certificate of a file ends",
    ),
];
