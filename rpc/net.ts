/** The `net_` namespace, which some libraries ask before every send. Source: EIP-1474. Spec: docs/spec/rpc.md#net */
import { type MethodTable, method } from './method.ts'
import { quantity } from './quantity.ts'

/** Every `net_` method. */
export const netMethods: MethodTable = {
  net_version: method('Id of the network, in decimals: the chain’s id.', [], ({ chain }) => String(chain.params.chainId)),
  net_listening: method('Whether the node listens for clients: it answered.', [], () => true),
  net_peerCount: method('Peers that the node talks to.', [], ({ chain }) => quantity(chain.syncStatus().peers ?? 0)),
}
