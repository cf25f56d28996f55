/** The `txpool_` namespace. Source: ethereum/execution-apis. Spec: docs/spec/rpc.md#txpool */
import { type MethodTable, method } from './method.ts'
import { quantity } from './quantity.ts'

/** Every `txpool_` method. */
export const txpoolMethods: MethodTable = {
  txpool_status: method('How many transactions wait, and how many wait for others before them.', [], ({ chain }) => {
    const { pending, queued } = chain.poolStatus()
    return { pending: quantity(pending), queued: quantity(queued) }
  }),
}
