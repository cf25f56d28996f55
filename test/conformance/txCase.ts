/** `tx`: bytes through our transaction codec by the rules of a fork. */

import type { Common } from '@ethereumjs/common'
import { bytesToHex, numberToBytes } from 'viem'
import { createCommon } from '../../execution/ethereumRules.ts'
import { decodeEthereumTx } from '../../execution/tx.ts'
import { type Answer, bytesOf, type TxCase } from './cases.ts'
import { txHardforkOf } from './forks.ts'

const commons = new Map<string, Common>()

/** Hash, sender and intrinsic gas of a transaction on chain 1, or why it is none. */
export function answerTx({ fork, txbytes }: TxCase): Answer {
  const hardfork = txHardforkOf(fork)
  if (hardfork === undefined) return { unsupported: `transactions of ${fork}` }
  const common = commons.get(hardfork) ?? createCommon({ chainId: 1, hardfork })
  commons.set(hardfork, common)
  const decoded = decodeEthereumTx(bytesOf(txbytes), common)
  if (!decoded.ok) return { rejected: 'reason' in decoded ? `${decoded.code}: ${decoded.reason}` : decoded.code }
  const { hash, sender, tx } = decoded.tx
  return { hash, sender, intrinsicGas: bytesToHex(numberToBytes(tx.getIntrinsicGas())) }
}
