# The operator. The binary is built before (cargo build --profile image -p firewatch): `make images` does both.
# Built on a system whose glibc is not newer than Debian 13's.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --chmod=0755 target/image/firewatch /usr/local/bin/firewatch
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/firewatch"]
CMD ["run"]
