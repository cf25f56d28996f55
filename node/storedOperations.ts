/** Door operations of EVM origin as a node keeps them: rlp of [txIndex, type, caller, packed fields] each. */
import { RLP } from '@ethereumjs/rlp'
import { bytesToHex, hexToBytes, numberToBytes } from 'viem'
import { assert } from '../execution/assert.ts'
import { operationTypeOf } from '../execution/native/native.ts'
import type { EvmOperation } from '../execution/precompile.ts'

export type PlacedOperation = { readonly txIndex: number; readonly operation: EvmOperation }

/** A block's operations as they are kept. */
export function encodeOperations(operations: readonly PlacedOperation[]): Uint8Array {
  return RLP.encode(
    operations.map(({ txIndex, operation: { type, caller, fields } }) => [
      numberToBytes(txIndex, { size: 4 }),
      Uint8Array.of(type.byte),
      hexToBytes(caller),
      type.fields.pack(fields),
    ]),
  )
}

/** Reads what `encodeOperations` wrote. Asserts: nobody else writes there. */
export function decodeOperations(bytes: Uint8Array): PlacedOperation[] {
  return (RLP.decode(bytes) as Uint8Array[][]).map(([txIndex, typeByte, caller, packed]) => {
    const type = operationTypeOf(typeByte?.[0] ?? 0)
    const fields = packed && type?.fields.unpack(packed)
    assert(txIndex && caller && type && fields, 'stored operation is malformed')
    return { txIndex: Number(bytesToHex(txIndex)), operation: { type, caller: bytesToHex(caller), fields } }
  })
}
