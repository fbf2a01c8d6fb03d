import { storeKinds } from '../harness.contract.ts';
import { storeContract } from '../store.contract.ts';

for (const kind of storeKinds) if (!kind.shared) storeContract(kind);
