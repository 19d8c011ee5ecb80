import { GATEWAY_SOCKET_NAME } from '../egress/gateway.ts';
import { SANDBOX_GATEWAY_DIRECTORY, SANDBOX_GATEWAY_PORT } from '../harness/harness.ts';

/** Where the gateway's socket lies in a container, and at which port of the loopback a forwarder brings it in. */
export function gatewayVariables(): Record<string, string> {
  return {
    CLOISTER_GATEWAY_PORT: String(SANDBOX_GATEWAY_PORT),
    CLOISTER_GATEWAY_SOCKET: `${SANDBOX_GATEWAY_DIRECTORY}/${GATEWAY_SOCKET_NAME}`,
  };
}

/** Tells programs that honour a proxy where the allowed hosts can be reached. */
export function proxyVariables(): Record<string, string> {
  const proxy = `http://127.0.0.1:${SANDBOX_GATEWAY_PORT}`;
  const local = '127.0.0.1,localhost';
  return {
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: local,
    no_proxy: local,
    NODE_USE_ENV_PROXY: '1',
  };
}
