# syntax=docker/dockerfile:1.7
# The host's image: one program, the libraries that it is linked with, certificate authorities, an unprivileged user. The
# application is no part of it: it comes as an OCI artifact (`up -f REF`) or is mounted at /app.
#
# The last stage is built from nothing by container/rootfs.sh, from the packages of the Debian that the program was linked on, and
# not from a base image: so the tests run the very same file system without a container engine.

# The toolchain of rust-toolchain.toml, which itself stays out, since it names what only developers need.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
ENV CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
COPY . .
# Always the same paths, so that the same sources make the same program.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --package runtime-host --bin bodega \
    && cp target/release/bodega /bodega
ARG SOURCE_DATE_EPOCH=0
RUN container/rootfs.sh /bodega /rootfs.tar \
    && mkdir /rootfs \
    && tar --extract --file=/rootfs.tar --directory=/rootfs --same-owner

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bodega" \
      org.opencontainers.image.description="Runs the Bodega shop, or any other Spin application" \
      org.opencontainers.image.source="https://github.com/bodega-shop/bodega" \
      org.opencontainers.image.documentation="https://github.com/bodega-shop/bodega#readme" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs/ /
COPY --from=build --chown=65532:65532 /rootfs/var/lib/bodega/ /var/lib/bodega/
# spin-operator gives its `spinImage` arguments, files and `SPIN_VARIABLE_*`, and 30 s to end, but no way to set these. Everybody
# else sets what differs.
ENV PATH=/usr/bin \
    SPIN_HTTP_LISTEN_ADDR=0.0.0.0:8080 \
    BODEGA_ADMIN_LISTEN=0.0.0.0:3001 \
    BODEGA_GATEWAY_MOUNT=/etc/bodega/gateway/gateway.toml \
    BODEGA_STATE_DIR=/var/lib/bodega/state \
    BODEGA_LOG_FORMAT=json \
    BODEGA_READINESS_DELAY_MS=10000 \
    BODEGA_DRAIN_TIMEOUT_MS=15000
# Numbers, since Kubernetes cannot tell by a name that it is not root.
USER 65532:65532
# Relative paths of a runtime configuration start here.
WORKDIR /var/lib/bodega
EXPOSE 8080 3001
ENTRYPOINT ["/usr/bin/bodega"]
