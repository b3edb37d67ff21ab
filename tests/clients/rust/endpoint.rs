
/// The server under test.
#[allow(dead_code)]
pub fn endpoint() -> &'static str {
    let endpoint = std::env::var("ETCD_ENDPOINT").expect("ETCD_ENDPOINT names a server");
    Box::leak(endpoint.into_boxed_str())
}
