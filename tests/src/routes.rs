//! The routes of the data plane, read from where they stand: what must be true of each is asked by the programs' own list.

use std::fs;

use reqwest::Method;

use crate::programs;

/// Method and path of everything that the pod serves for a tenant, as `http.rs` has it.
pub fn tenant_routes() -> Vec<(Method, String)> {
    let file = programs::repository().join("dataplane-service/src/http.rs");
    let text = fs::read_to_string(file).expect("the routes are there");
    let routes = text.split_once("fn tenant_routes").expect("the routes of a tenant").1;
    let routes = routes.split_once("\n}\n").expect("they end").0;
    assert_eq!(routes.matches("endpoint(").count(), routes.matches("endpoint(\"").count(), "each path is a literal");
    let mut found = Vec::new();
    for route in routes.split("endpoint(\"").skip(1) {
        let (path, handlers) = route.split_once('"').expect("a path is a literal");
        let before = found.len();
        for (call, method) in [
            (".get(", Method::GET),
            (".page(", Method::GET),
            (".post(", Method::POST),
            (".form(", Method::POST),
            ("Method::PUT", Method::PUT),
            ("Method::DELETE", Method::DELETE),
            ("Method::PATCH", Method::PATCH),
            ("Method::OPTIONS", Method::OPTIONS),
        ] {
            if handlers.contains(call) {
                found.push((method, path.to_owned()));
            }
        }
        let calls = [".get(", ".page(", ".post(", ".form(", ".method("].map(|call| handlers.matches(call).count());
        assert_eq!(found.len() - before, calls.iter().sum::<usize>(), "{path}: a method that is not known here");
    }
    found
}
