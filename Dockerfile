# The server and its socket broker. From a clone, `docker build .` makes it whole; `npm run image -- --server` makes it
# from what `npm run build` made, without the stage that builds, and fetches nothing. See docs/images.md.
ARG BASE_IMAGE=node:24-bookworm-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
# What the packages need changes seldom, so it is a layer of its own.
COPY package.json package-lock.json ./
COPY packages/api/package.json packages/api/
COPY packages/server/package.json packages/server/
COPY packages/agent-runner/package.json packages/agent-runner/
COPY packages/dashboard/package.json packages/dashboard/
COPY packages/fake-model/package.json packages/fake-model/
RUN npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --cache /tmp/npm && rm -rf /tmp/npm
COPY tsconfig.json ./
COPY scripts scripts
COPY packages packages
RUN node scripts/build.ts && find packages/server/dist -name '*.map' -delete

# Of the base, what Node needs and nothing else: no shell, no package manager, nothing a stranger could use. The C library
# finds names (nsswitch.conf says how) with parts that ldd does not tell of in every version, so they come along by name.
# Scanners for known holes look into status.d for the packages that the libraries are from.
FROM ${BASE_IMAGE} AS root
RUN set -eu \
    && mkdir -p /image/usr/local/bin /image/etc/ssl/certs /image/var/lib/dpkg/status.d \
    && cp -L "$(command -v node)" /image/usr/local/bin/node \
    && needed=$(ldd /image/usr/local/bin/node | grep -o '/[^ )]*') \
    && for library in $needed $(ls -d /lib/*/libnss_dns.so.2 /lib/*/libnss_files.so.2 /lib/*/libresolv.so.2 2>/dev/null || true); do \
         cp -L --parents "$library" /image; \
         for package in $(dpkg-query --search "*/${library##*/}" 2>/dev/null | cut -d: -f1 | sort -u); do \
           dpkg-query --status "$package" > "/image/var/lib/dpkg/status.d/$package"; \
           if [ -e "/usr/share/doc/$package/copyright" ]; then cp --parents "/usr/share/doc/$package/copyright" /image; fi; \
         done; \
       done \
    && cp -L /etc/os-release /image/etc/os-release \
    && if [ -s /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; \
       else node -p 'tls.rootCertificates.join("\n")' > /image/etc/ssl/certs/ca-certificates.crt; fi \
    && printf 'root:x:0:0:root:/:/sbin/nologin\nnode:x:1000:1000::/home/node:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n' > /image/etc/passwd \
    && printf 'root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n' > /image/etc/group \
    && printf 'passwd: files\ngroup: files\nhosts: files dns\n' > /image/etc/nsswitch.conf \
    && printf '#!/usr/local/bin/node\nimport("/opt/cloister/cloister.mjs");\n' > /image/usr/local/bin/cloister \
    && chmod 755 /image/usr/local/bin/cloister

FROM scratch AS server
LABEL org.opencontainers.image.title="Cloister" \
      org.opencontainers.image.description="Runs AI agents, each in its own hardened container" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=root /image/ /
# What the base trusts is trusted too, and so is what is mounted into /etc/ssl/certs.
ENV PATH=/usr/local/bin \
    NODE_ENV=production \
    NODE_USE_SYSTEM_CA=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data \
    LOG_FORMAT=json
# The data directory is the server's alone. The broker's belongs to root, and the server's group may look into it:
# so the server can use the socket there and not put another in its place. A new volume takes both over.
RUN ["node", "-e", "for (const [place, user, group, mode] of [ \
  ['/data', 1000, 1000, 0o700], ['/home/node', 1000, 1000, 0o700], ['/run/cloister', 0, 1000, 0o750], ['/tmp', 0, 0, 0o1777] \
  ]) { fs.mkdirSync(place, { recursive: true }); fs.chownSync(place, user, group); fs.chmodSync(place, mode); }"]

COPY --from=build /src/packages/server/dist /opt/cloister

USER 1000:1000
WORKDIR /opt/cloister
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["cloister", "status", "--quiet"]
ENTRYPOINT ["cloister"]
CMD ["serve"]
