# syntax=docker/dockerfile:1
# Three images of static programs and nothing else:
#
#   docker build --target controlplane-daemon -t hellojohn/controlplane-daemon .
#   docker build --target dataplane-service   -t hellojohn/dataplane-service .
#   docker build --target hellojohn           -t hellojohn/hellojohn .
#
# What they consist of is inside: `cargo audit bin`, syft and trivy read the list of crates from the programs.
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates musl-tools \
    && rm -rf /var/lib/apt/lists/*
RUN rustup target add "$(uname -m)-unknown-linux-musl" && cargo install cargo-auditable@0.7.7 --locked
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-musl" \
    && export "CC_$(uname -m)_unknown_linux_musl=musl-gcc" \
    && cargo auditable build --locked --profile dist --target "$target" --workspace \
        --bin controlplane-daemon --bin dataplane-service --bin hellojohn \
    && install -D -t /out "target/$target/dist/controlplane-daemon" "target/$target/dist/dataplane-service" \
        "target/$target/dist/hellojohn"
# What is found in an otherwise empty root: authorities, a user, a folder of its own.
RUN mkdir -p /root-of/etc/ssl/certs /root-of/var/lib/hellojohn /root-of/home/hellojohn \
    && cp /etc/ssl/certs/ca-certificates.crt /root-of/etc/ssl/certs/ \
    && echo 'hellojohn:x:65532:65532::/home/hellojohn:/' > /root-of/etc/passwd \
    && echo 'hellojohn:x:65532:' > /root-of/etc/group \
    && chown -R 65532:65532 /root-of/var/lib/hellojohn /root-of/home/hellojohn

FROM scratch AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.vendor="HelloJohn" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="scratch"
COPY --from=build /root-of/ /
ENV HOME=/home/hellojohn
USER 65532:65532

FROM base AS controlplane-daemon
LABEL org.opencontainers.image.title="controlplane-daemon" \
      org.opencontainers.image.description="HelloJohn's control plane: the only writer of its configuration"
COPY --from=build /out/controlplane-daemon /usr/local/bin/controlplane-daemon
EXPOSE 7000 7100 7200 7300
ENTRYPOINT ["/usr/local/bin/controlplane-daemon"]

FROM base AS dataplane-service
LABEL org.opencontainers.image.title="dataplane-service" \
      org.opencontainers.image.description="HelloJohn's data plane: OAuth 2.0, OpenID Connect, users"
COPY --from=build /out/dataplane-service /usr/local/bin/dataplane-service
EXPOSE 8080 8090
ENTRYPOINT ["/usr/local/bin/dataplane-service"]

FROM base AS hellojohn
LABEL org.opencontainers.image.title="hellojohn" \
      org.opencontainers.image.description="HelloJohn's command line"
COPY --from=build /out/hellojohn /usr/local/bin/hellojohn
ENTRYPOINT ["/usr/local/bin/hellojohn"]
