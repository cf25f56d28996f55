/**
 * Taking transactions in: the one method of which most of the work (hex, decoding, digests, signatures) needs no chain, so that the server answers it
 * beside the chain and not through it. Spec: docs/spec/rpc.md#eth
 */
import type { Chain } from './chain.ts'
import { type Method, method, together } from './method.ts'
import * as params from './params.ts'
import { rejectionError } from './rpcError.ts'

/** Where bytes of transactions go. */
export type Intake = Pick<Chain, 'submit'>

/** The methods that need an intake and nothing else, by name. */
export const intakeMethods = {
  eth_sendRawTransaction: together(
    method(
      'Takes a signed transaction of any kind; answers its hash.',
      [params.bytes('transaction')],
      async ({ chain }: { readonly chain: Intake }, raw) => {
        const answer = await chain.submit(raw)
        if (!answer.ok) throw rejectionError(answer)
        return answer.hash
      },
    ),
  ),
} satisfies Readonly<Record<string, Method<{ readonly chain: Intake }>>>
