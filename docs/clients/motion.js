// Sound in, motion out, for three.js and the like: every frame moves a face.
//
//   const voice = follow("ws://127.0.0.1:8080/motion", 48000, ({ head, shapes }) => {
//     bone.rotation.set(-head.pitch, head.yaw, head.roll, "YXZ");
//     mesh.morphTargetInfluences[mesh.morphTargetDictionary.jawOpen] = shapes.jawOpen;
//   });
//   voice.send(float32Samples); // mono, e.g. from an AudioWorklet; then voice.end()

export function follow(url, rate, onFrame) {
  const socket = new WebSocket(url), waiting = [];
  let names = null, finished;
  const over = new Promise((done) => { finished = done; });
  const tell = (message) => (socket.readyState === WebSocket.OPEN ? socket.send(message) : waiting.push(message));
  socket.onopen = () => {
    socket.send(JSON.stringify({ rate, channels: 1, format: "f32" }));
    waiting.splice(0).forEach((message) => socket.send(message));
  };
  socket.onmessage = ({ data }) => {
    const line = JSON.parse(data);
    if (!names) { names = line.blendshapes; return; }
    const shapes = Object.fromEntries(names.map((name, i) => [name, line.blendshapes[i]]));
    onFrame({ ...line, shapes });
  };
  socket.onclose = ({ code, reason }) => finished({ code, reason });
  return { send: tell, end: () => tell("end"), over };
}
