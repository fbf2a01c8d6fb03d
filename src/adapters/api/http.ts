/**
 * Node's HTTP. An import would load all that the module can hand on, also fetch and WebSocket, which nobody here uses: 25 ms
 * of each start, and some megabytes.
 */
export const { createServer, request } = process.getBuiltinModule('node:http');
