/** Whoever runs the code had enough of it. The state is to be thrown away. */
export class ExecutionAborted extends Error {
  override readonly name = 'ExecutionAborted'
  readonly retryable = false
}
