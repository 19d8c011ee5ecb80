# The server and its socket broker, from what `npm run build` made: nothing is fetched. `npm run image -- --server`
# builds it; see docs/container.md.
FROM node:24-bookworm-slim AS server

# The data directory is the server's alone. The broker's belongs to root, and the server's group may look into it:
# so the server can use the socket there and not put another in its place. A new volume takes both over.
RUN mkdir -p /data /run/cloister \
    && chown 1000:1000 /data && chmod 700 /data \
    && chown 0:1000 /run/cloister && chmod 750 /run/cloister \
    && printf '#!/bin/sh\nexec node /opt/cloister/cloister.mjs "$@"\n' > /usr/local/bin/cloister \
    && chmod 755 /usr/local/bin/cloister

COPY packages/server/dist /opt/cloister

USER 1000:1000
WORKDIR /opt/cloister
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data \
    LOG_FORMAT=json
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["cloister"]
CMD ["serve"]
