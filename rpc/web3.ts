/** The `web3_` namespace. Source: EIP-1474. Spec: docs/spec/rpc.md#web3 */
import { bytesToHex, hexToBytes } from 'viem'
import { keccak256 } from '../execution/keccak.ts'
import { type MethodTable, method } from './method.ts'
import * as params from './params.ts'

/** Every `web3_` method. */
export const web3Methods: MethodTable = {
  web3_clientVersion: method('What runs here.', [], ({ chain }) => chain.clientVersion),
  web3_sha3: method('keccak256 of bytes.', [params.data('data')], (_, data) => bytesToHex(keccak256(hexToBytes(data)))),
}
