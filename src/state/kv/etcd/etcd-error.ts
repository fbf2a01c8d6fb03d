import { StoreError } from '../store.ts';

/** An error that etcd itself told, with its gRPC code. */
export class EtcdError extends StoreError {
  readonly code: number;

  constructor(message: string, options: ErrorOptions & { retry: boolean; code: number }) {
    super(message, options);
    this.code = options.code;
  }
}

export const notFound = 5;
export const compacted = 11;
