# The server and its socket broker. From a clone, `docker build .` makes it whole; `npm run image -- --server` makes the
# last stage alone from what `npm run build` made, and fetches nothing. See docs/container.md.
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

FROM ${BASE_IMAGE} AS server
LABEL org.opencontainers.image.title="Cloister" \
      org.opencontainers.image.description="Runs AI agents, each in its own hardened container" \
      org.opencontainers.image.licenses="Apache-2.0"

# The data directory is the server's alone. The broker's belongs to root, and the server's group may look into it:
# so the server can use the socket there and not put another in its place. A new volume takes both over.
RUN mkdir -p /data /run/cloister \
    && chown 1000:1000 /data && chmod 700 /data \
    && chown 0:1000 /run/cloister && chmod 750 /run/cloister \
    && printf '#!/usr/bin/env node\nimport("/opt/cloister/cloister.mjs");\n' > /usr/local/bin/cloister \
    && chmod 755 /usr/local/bin/cloister

COPY --from=build /src/packages/server/dist /opt/cloister

USER 1000:1000
WORKDIR /opt/cloister
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data \
    LOG_FORMAT=json
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["cloister", "status", "--quiet"]
ENTRYPOINT ["cloister"]
CMD ["serve"]
