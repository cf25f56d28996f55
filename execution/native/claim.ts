/**
 * 0x58 Claim: takes the earnings of epochs whose dispute window is over into the sender's ledger balance.
 * Spec: docs/spec/transactions.md#0x58-claim
 */
import { parseAbiItem, parseAbiParameters } from 'viem'
import { DOOR, LIMIT, NATIVE_GAS, TX_TYPE } from '../../genesis/params.ts'
import { getEarned, setEarned } from '../ledger/earnings.ts'
import { maturityOf } from '../ledger/maturity.ts'
import { addBalance, getAccount } from '../ledger/tables.ts'
import { defineNative, doorLog, failure, invalid, isStrictlyAscending } from './nativeType.ts'

export const claimedEvent = parseAbiItem('event Claimed(address indexed account, uint96 amount)')

export const claim = defineNative({
  byte: TX_TYPE.claim,
  name: 'Claim',
  door: DOOR.credits,
  functionName: 'claim',
  payable: false,
  parameters: parseAbiParameters('uint32[] epochs'),

  records: ({ epochs }) => 2 * epochs.length,

  itemGas: ({ epochs }) => NATIVE_GAS.perEpoch * BigInt(epochs.length),

  check({ epochs }) {
    const count = epochs.length
    if (count === 0 || count > LIMIT.epochsPerClaim || !isStrictlyAscending(epochs)) return invalid('badEpochs', { count })
    return undefined
  },

  apply(ledger, { params, sender, timeSec }, { epochs }) {
    const { index } = getAccount(ledger, sender)
    for (const epoch of epochs) {
      const maturesAt = maturityOf(ledger, epoch, params)
      if (timeSec < maturesAt) return failure('notMatured', { epoch, maturesAt, now: timeSec })
    }
    let amount = 0n
    for (const epoch of epochs) {
      const earner = { account: index, epoch }
      const earned = getEarned(ledger, earner)
      if (earned === 0n) continue
      amount += earned
      setEarned(ledger, earner, 0n)
    }
    if (amount === 0n) return failure('nothingToClaim')
    addBalance(ledger, sender, amount)
    return { ok: true, logs: [doorLog(DOOR.credits, claimedEvent, { account: sender, amount })] }
  },
})
