/** A transaction that a case gives in JSON with its key: made into bytes, as a wallet would. */
import type { Common } from '@ethereumjs/common'
import { createTx, type TypedTxData } from '@ethereumjs/tx'
import { bytesOf, type JsonTx } from './cases.ts'

/** The signed bytes, or why no transaction can be made of it. */
export function signJsonTx(
  json: JsonTx,
  common: Common,
): { readonly ok: true; readonly bytes: Uint8Array } | { readonly ok: false; readonly reason: string } {
  if (json.secretKey === undefined) throw new Error('neither bytes nor a key')
  const type = typeOf(json)
  const { secretKey, authorizationList, to, ...rest } = json
  const fields = {
    ...rest,
    ...(type < 2 ? {} : { gasPrice: undefined }),
    ...(type === 0 ? { accessList: undefined } : { chainId: `0x${common.chainId().toString(16)}` }),
    to: to === '' ? undefined : to,
    data: json.data,
    authorizationList: authorizationList?.map((one) => ({ ...one, yParity: one.yParity ?? one.v ?? '0x' })),
    type,
  }
  try {
    return {
      ok: true,
      bytes: createTx(fields as unknown as TypedTxData, { common, freeze: false })
        .sign(bytesOf(secretKey))
        .serialize(),
    }
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) }
  }
}

function typeOf(tx: JsonTx): number {
  if (tx.authorizationList !== undefined) return 4
  if (tx.maxFeePerBlobGas !== undefined || tx.blobVersionedHashes !== undefined) return 3
  if (tx.maxFeePerGas !== undefined) return 2
  return tx.accessList !== undefined ? 1 : 0
}
