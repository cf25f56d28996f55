/** `precompile` and `arith`: calls through our VM, of a precompile of its table or of a few opcodes. */
import { type Hex, pad } from 'viem'
import { type Answer, type ArithCase, bytesOf, numberOf, type PrecompileCase } from './cases.ts'
import { type Ethereum, ethereumOf, QUIET_BLOCK, type Rules } from './ethereum.ts'

const NEWEST: Rules = { chainId: 1, hardfork: 'osaka' }

/** Where a price changed over time, the rule that a case names; without one it is the newest fork, which has every precompile. */
const RULES: Readonly<Record<string, Rules>> = {
  eip198: { chainId: 1, hardfork: 'cancun', without: 2565, params: { 2565: { modexpGquaddivisorGas: 20 } } },
  eip2565: { chainId: 1, hardfork: 'cancun' },
  eip7883: NEWEST,
}
const CALLER: Hex = `0x${'00'.repeat(19)}ca`
const CODE_AT: Hex = `0x${'00'.repeat(18)}c0de`
const GAS = 2n ** 62n

/** Output and gas of a precompile; `rejected` where its call fails. */
export async function answerPrecompile({ address, rule, input }: PrecompileCase): Promise<Answer> {
  const rules = rule === undefined ? NEWEST : RULES[rule]
  if (rules === undefined) return { unsupported: `rule ${rule}` }
  const ethereum = await ethereumOf(rules)
  const to = pad(`0x${address.toString(16)}`, { size: 20 })
  const { output, gasUsed, exception } = await call(ethereum, to, bytesOf(input))
  return exception === undefined ? { output, gas: Number(gasUsed) } : { rejected: exception }
}

const OPCODES: Readonly<Record<string, number>> = {
  ...{ add: 0x01, mul: 0x02, sub: 0x03, div: 0x04, sdiv: 0x05, mod: 0x06, smod: 0x07, exp: 0x0a, signext: 0x0b, signextend: 0x0b },
  ...{ lt: 0x10, gt: 0x11, slt: 0x12, sgt: 0x13, eq: 0x14, iszero: 0x15, and: 0x16, or: 0x17, xor: 0x18, not: 0x19, byte: 0x1a },
  ...{ shl: 0x1b, shr: 0x1c, sar: 0x1d, clz: 0x1e },
}

/** What the opcode leaves on the stack. */
export async function answerArith({ op, x, y }: ArithCase): Promise<Answer> {
  const opcode = OPCODES[op.toLowerCase()]
  if (opcode === undefined) return { unsupported: `operation ${op}` }
  const ethereum = await ethereumOf(NEWEST)
  // PUSH32 x, PUSH32 y, the opcode, then the result to memory and out.
  const code = [0x7f, ...word(x), 0x7f, ...word(y), opcode, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3]
  ethereum.state.putCode(CODE_AT, Uint8Array.from(code))
  const { output, exception } = await call(ethereum, CODE_AT, new Uint8Array())
  return exception === undefined ? { value: output } : { rejected: exception }
}

function call({ vm }: Ethereum, to: Hex, data: Uint8Array) {
  return vm.simulate({ from: CALLER, to, valueWei: 0n, data, gas: GAS, gasPriceWei: 7n }, QUIET_BLOCK)
}

function word(text: string): Uint8Array {
  return bytesOf(pad(`0x${numberOf(text).toString(16)}`, { size: 32 }))
}
