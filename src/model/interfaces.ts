/** How the interfaces begin that the host itself has on networks. */
export const exposedPrefix = 'skein-';

/** The bridge by which containers have their way out of the host. */
export const gatewayBridge = 'skein_gwbridge';
