//! Objects refer to one another by names: what is named is there, and certificates have the names they are called by.

use serde_json::Value;

use super::containers;
use super::rendered::{ALL, Object, overlay, the};

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Pods of the same overlay that a selector of labels means.
fn selected<'a>(objects: &[&'a Object], labels: &Value) -> Vec<&'a Object> {
    let wanted = labels.as_object().expect("labels");
    let of = |object: &'a Object| object.pod_template().map(|template| &template["metadata"]["labels"]);
    let has = |object: &&'a Object| of(object).is_some_and(|it| wanted.iter().all(|(key, value)| it[key] == *value));
    objects.iter().copied().filter(has).collect()
}

fn overlays() -> Vec<(&'static str, Vec<&'static Object>)> {
    let mut names: Vec<&str> = ALL.iter().map(|object| object.overlay.as_str()).collect();
    names.dedup();
    names.into_iter().map(|name| (name, overlay(name))).collect()
}

fn container_ports(object: &Object) -> &Vec<Value> {
    let template = object.pod_template().expect("it has pods");
    template["spec"]["containers"][0]["ports"].as_array().expect("its container has ports")
}

#[test]
fn services_lead_to_ports_of_pods() {
    let mut seen = 0;
    for (name, objects) in overlays() {
        for service in objects.iter().filter(|object| object.kind() == "Service") {
            let pods = selected(&objects, &service.json["spec"]["selector"]);
            let [workload] = pods[..] else { panic!("{name}: {} selects {} workloads", service.name(), pods.len()) };
            for port in service.json["spec"]["ports"].as_array().expect("ports") {
                let target = container_ports(workload).iter().find(|it| it["name"] == port["targetPort"]);
                let target = target.unwrap_or_else(|| panic!("{}: {port}", service.title()));
                assert!(port["port"] == target["containerPort"] || port["port"] == 80, "{}: {port}", service.title());
                seen += 1;
            }
        }
        for monitor in objects.iter().filter(|object| object.kind() == "ServiceMonitor") {
            let wanted = monitor.json["spec"]["selector"]["matchLabels"].as_object().expect("labels");
            let port = &monitor.json["spec"]["endpoints"][0]["port"];
            let means = |service: &&&Object| {
                let labels = &service.json["metadata"]["labels"];
                let ports = service.json["spec"]["ports"].as_array();
                service.kind() == "Service"
                    && wanted.iter().all(|(key, value)| labels[key] == *value)
                    && ports.is_some_and(|ports| ports.iter().any(|it| it["name"] == *port))
            };
            assert_eq!(objects.iter().filter(means).count(), 1, "{}: each pod once", monitor.title());
        }
        for ingress in objects.iter().filter(|object| object.kind() == "Ingress") {
            let backend = &ingress.json["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
            let service = the(&objects, "Service", text(&backend["name"]));
            let ports = service.json["spec"]["ports"].as_array().expect("ports");
            assert!(ports.iter().any(|port| port["name"] == backend["port"]["name"]), "{}", ingress.title());
        }
        for route in objects.iter().filter(|object| object.kind() == "HTTPRoute") {
            let backend = &route.json["spec"]["rules"][0]["backendRefs"][0];
            let service = the(&objects, "Service", text(&backend["name"]));
            assert_eq!(service.json["spec"]["ports"][0]["port"], backend["port"]);
            let gateway = the(&objects, "Gateway", text(&route.json["spec"]["parentRefs"][0]["name"]));
            let section = &route.json["spec"]["parentRefs"][0]["sectionName"];
            assert_eq!(gateway.json["spec"]["listeners"][0]["name"], *section);
        }
    }
    assert!(seen >= 15, "{seen}");
}

#[test]
fn the_headless_service_names_the_nodes() {
    for object in ALL.iter().filter(|object| object.kind() == "StatefulSet") {
        let objects = overlay(&object.overlay);
        let service = the(&objects, "Service", text(&object.json["spec"]["serviceName"]));
        assert_eq!(service.json["spec"]["clusterIP"], "None");
        // Nodes of a fresh cluster find each other before any of them is ready.
        assert_eq!(service.json["spec"]["publishNotReadyAddresses"], true);
        // `_admin._tcp` of HJ_DISCOVER_DNS is this port's record.
        let container = containers::all().into_iter().find(|it| std::ptr::eq(it.object, object)).expect("it has one");
        let environment = container.environment("controlplane-0");
        let dns = &environment.iter().find(|(name, _)| name == "HJ_DISCOVER_DNS").expect("it is set").1;
        let name = format!("{}.hellojohn.svc.cluster.local", service.name());
        assert_eq!(*dns, format!("_admin._tcp.{name}"));
        let admin =
            service.json["spec"]["ports"].as_array().expect("ports").iter().find(|port| port["name"] == "admin");
        assert_eq!(admin.expect("it has the port")["port"], 7200);
    }
}

fn covers(names: &Value, host: &str) -> bool {
    names.as_array().expect("names").iter().map(text).any(|name| match name.strip_prefix('*') {
        Some(rest) => host.split_once('.').is_some_and(|(_, parent)| rest == format!(".{parent}")),
        None => name == host,
    })
}

#[test]
fn certificates_have_the_names_that_are_called() {
    let objects = overlay("overlays/production");
    let names = |certificate: &str| the(&objects, "Certificate", certificate).json["spec"]["dnsNames"].clone();
    let usages = |certificate: &str| the(&objects, "Certificate", certificate).json["spec"]["usages"].clone();
    let has = |usages: &Value, usage: &str| usages.as_array().expect("usages").iter().any(|it| it == usage);
    let (node, admin, pod) = (names("controlplane-node"), names("controlplane-admin"), names("dataplane"));
    for usage in ["server auth", "client auth"] {
        assert!(has(&usages("controlplane-node"), usage), "{usage}");
    }
    assert!(has(&usages("controlplane-admin"), "server auth"));
    // One that is good for servers would open the peer port.
    assert!(has(&usages("dataplane"), "client auth") && !has(&usages("dataplane"), "server auth"));

    let mut called = 0;
    for container in containers::all().iter().filter(|it| it.object.overlay.starts_with("overlays/production")) {
        let environment = container.environment("controlplane-2");
        let value = |name: &str| environment.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
        let host = |url: &str| url.split("//").last().and_then(|rest| rest.split(':').next()).unwrap_or("").to_owned();
        for peer in value("PEERS").into_iter().flat_map(|peers| peers.split(',')) {
            let address = peer.split('=').next_back().expect("an address");
            assert!(covers(&node, &host(address)), "{address}");
            called += 1;
        }
        if let Some(url) = value("HJ_ADVERTISE_ADMIN_URL") {
            assert!(url.starts_with("https://") && covers(&admin, &host(url)), "{url}");
        }
        if let Some(url) = value("HJ_CONTROL_PLANE") {
            assert!(url.starts_with("https://") && covers(&node, &host(url)), "{url}");
            called += 1;
        }
        if let Some(name) = value("HJ_TLS_WATCH_NAMES") {
            assert!(covers(&pod, name), "{name}");
        }
        // A certificate is mounted from the Secret that one of them makes.
        for volume in container.pod["volumes"].as_array().expect("volumes") {
            let Some(secret) = volume["secret"]["secretName"].as_str().filter(|name| name.ends_with("-tls")) else {
                continue;
            };
            let made =
                |object: &&&Object| object.kind() == "Certificate" && object.json["spec"]["secretName"] == secret;
            assert!(objects.iter().any(|object| made(&object)), "nobody makes {secret}");
        }
    }
    assert!(called >= 6, "{called}");
    assert!(!covers(&node, "controlplane-0.elsewhere.svc.cluster.local"));
}
